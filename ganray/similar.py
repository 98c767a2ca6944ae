"""Names that somebody may have meant."""

import difflib
from collections.abc import Iterable

MOST = 3  # suggestions
CUTOFF = 0.6  # of difflib's ratio: ring-8 is like rnig-8 and ring-20261122, not like stacked


def did_you_mean(got: str, known: Iterable[str]) -> str:
    """`; did you mean 'ring-8' or 'ring-9'?`, the nearest first; nothing where none is near."""
    names = sorted(set(known))
    near = difflib.get_close_matches(got, names, n=MOST, cutoff=CUTOFF)
    near += [name for name in names if got and name.startswith(got) and name not in near]
    quoted = [f"'{name}'" for name in near[:MOST]]
    return f"; did you mean {' or '.join(quoted)}?" if quoted else ""
