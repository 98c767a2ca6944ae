"""The names of sweeps as people give them, before they go anywhere."""

import re

from ganray.errors import SpecError
from ganray.spec.names import SWEEP_NAME


def check_name(name: str) -> str:
    """The name itself, if a sweep can have it: nothing else becomes part of a path or a query.

    Raises:
        SpecError: no sweep can have it.
    """
    if not re.fullmatch(SWEEP_NAME, name):
        raise SpecError(
            [
                f"the name of a sweep has at most 100 letters, digits, - and _, starting with a "
                f"letter or digit; got {name!r}"
            ]
        )
    return name
