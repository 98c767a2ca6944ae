"""What stays is not gone through by the collector of garbage, and nothing else changes."""

import gc
import subprocess
import sys

import pytest

from ganray.garbage import load, uncollected

LOADED = """
import gc
from ganray.garbage import load
collected = []
gc.callbacks.append(lambda phase, info: collected.append(info["generation"]))
before = gc.get_freeze_count()
load(("torch",))
assert collected == [2, 2], "once, before it began"
assert gc.get_freeze_count() > before + 100_000
assert gc.isenabled()
"""


# what Ray imports with the class of a trial, before the trial's own setup
SENT = """
import sys
import ganray.tuning.cluster, ganray.tuning.trainable
assert "torch" not in sys.modules
"""


def test_worker_has_no_torch_before_it_is_set_up_with_it() -> None:
    subprocess.run([sys.executable, "-c", SENT], check=True)


def test_modules_are_loaded_without_being_gone_through() -> None:
    subprocess.run([sys.executable, "-c", LOADED], check=True)


def test_who_has_the_modules_keeps_what_the_collector_goes_through() -> None:
    frozen = gc.get_freeze_count()
    load(("gc", "sys"))
    assert gc.get_freeze_count() == frozen


def test_module_that_cannot_be_loaded_leaves_the_collector_at_work() -> None:
    with pytest.raises(ImportError, match="no_such"):
        load(("ganray.no_such_module",))
    assert gc.isenabled()


def test_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
