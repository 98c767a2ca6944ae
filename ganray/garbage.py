"""Python's collector of garbage, kept from going through what is none."""

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the collector, which would go again and again through objects that are all kept."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def load(modules: Sequence[str]) -> None:
    """Import modules that the collector is not to go through, now or later.

    That is a fourth of the time in which torch and MLflow are imported, and half a second when a
    process that has them ends.

    Raises:
        ImportError: one of them cannot be; or whatever else it raises.
    """
    missing = [name for name in modules if name not in sys.modules]
    if not missing:
        return
    gc.collect()  # what is garbage by now would stay, too
    with uncollected():
        for name in missing:
            import_module(name)
        gc.freeze()
