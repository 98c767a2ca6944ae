"""The README says of a sweep file what the code says."""

import re
from typing import get_args

from ganray.spec.data import DataPart
from ganray.spec.models import SweepSpec
from ganray.spec.names import LossName
from ganray.spec.networks import NetworksPart
from ganray.spec.parameters import Trainer
from tests.reference import README, reference, updated


def test_tables_of_the_readme_are_those_of_the_code() -> None:
    text = README.read_text(encoding="utf-8")
    assert reference() in text, "run `python -m tests.reference`"
    assert updated(text) == text


def test_nothing_but_the_tables_is_rewritten() -> None:
    before, _, rest = README.read_text(encoding="utf-8").partition(reference())
    assert updated(f"{before}stale{rest}") == f"{before}{reference()}{rest}"


def test_every_key_and_every_loss_is_in_the_tables() -> None:
    keys = {key for line in reference().splitlines() for key in re.findall(r"^\| `([\w.]+)`", line)}
    expected = {
        *Trainer.model_fields,
        "name",
        "data.name",
        "networks.name",
        "search.space.d_lr.low",
    }
    for name in ("search", "objective", "prune", "measure", "budget", "storage"):
        info = SweepSpec.model_fields[name]
        part = next(kind for kind in (*get_args(info.annotation), info.annotation) if kind)
        expected |= {f"{name}.{key}" for key in part.model_fields}
    for union in (DataPart, NetworksPart):
        for kind in get_args(get_args(union)[0]):
            expected |= set(kind.model_fields)
    assert expected <= keys | {"name"}
    for losses in get_args(LossName):
        assert all(f"`{loss}`" in reference() for loss in get_args(losses) or (losses,))


def test_tables_have_as_many_cells_in_every_row() -> None:
    for table in re.findall(r"(?:^\|.*\n?)+", reference(), re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1
