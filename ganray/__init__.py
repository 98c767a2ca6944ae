"""Hyperparameter sweeps for GANs: find what trains well, stop what is dead, keep every result."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganray.client.sweeps import SweepClient
    from ganray.spec.load import load_sweep
    from ganray.summary import compare, confirmation, history, summarize
    from ganray.tuning.driver import run_sweep

__all__ = [
    "SweepClient",
    "compare",
    "confirmation",
    "history",
    "load_sweep",
    "run_sweep",
    "summarize",
]

# loaded on first use: torch, ray, mlflow and pandas take seconds that a caller may not need
_HOME = {
    "SweepClient": "ganray.client.sweeps",
    "compare": "ganray.summary",
    "confirmation": "ganray.summary",
    "history": "ganray.summary",
    "load_sweep": "ganray.spec.load",
    "run_sweep": "ganray.tuning.driver",
    "summarize": "ganray.summary",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":  # which a checkout that nobody installed has not
        return version("ganray")
    if name not in _HOME:
        raise AttributeError(f"module 'ganray' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
