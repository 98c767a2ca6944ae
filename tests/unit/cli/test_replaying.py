"""`ganray replay`: what is printed where, the files, and what is refused."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from ganray.cli import replaying
from ganray.trial import Outcome
from ganray.tuning.replay.archive import load_histories, save_histories
from tests.conftest import Answer, past

Program = Callable[..., Answer]

GOOD = {"distance": 0.05, "mode_ratio": 1.0, "high_quality": 0.9, "js": 0.1}
DEAD = {"distance": 0.9, "mode_ratio": 0.1, "high_quality": 0.9, "js": 0.3}
LATE = [*[{**GOOD, "mode_ratio": 0.2}] * 5, *[GOOD] * 5]


@pytest.fixture
def file(here: Path) -> str:
    """Four bad trials, four healthy ones of which one is late."""
    kinds = [[DEAD] * 10, [GOOD] * 10] * 3 + [[DEAD] * 10, LATE]
    save_histories([past(i, reports) for i, reports in enumerate(kinds)], here / "h.parquet")
    return "h.parquet"


def test_policies_stand_side_by_side_within_80_columns(file: str, ganray: Program) -> None:
    answer = ganray("replay", file, "--resamples", "10")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0].startswith("ring-1 (8): 4 bad, 4 healthy; 2 top; 0 not healthy at the end")
    table = lines[1 : lines.index("Healthy trials lost, with the share of the budget:")]
    assert max(len(line.rstrip()) for line in table) <= 80
    row = next(line for line in table if line.startswith("modes "))
    assert row.split()[:8] == ["modes", "25", "(5–70)", "0", "100", "(51–100)", "70", "44"]
    assert "Bounds" not in answer.out


def test_healthy_trials_lost_are_told_with_their_rule(file: str, ganray: Program) -> None:
    out = ganray("replay", file, "--policy", "modes", "--policy", "none", "--resamples", "1").out
    assert out.splitlines()[-2:] == [
        "Healthy trials lost, with the share of the budget:",
        "  modes: 7 at 30%",
    ]


def test_files_hold_the_figure_the_numbers_and_the_decisions(
    file: str, here: Path, ganray: Program
) -> None:
    arguments = ["--policy", "modes", "--policy", "median", "--output", "out/new"]
    answer = ganray("replay", file, *arguments, "--resamples", "10", "--json")
    assert answer.code == 0
    folder = here / "out" / "new"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("decisions.csv", "replay.json", "replay.png"),
    ]
    assert json.loads((folder / "replay.json").read_text()) == json.loads(answer.out)
    assert [row["policy"] for row in json.loads(answer.out)["policies"]] == ["modes", "median"]
    with (folder / "decisions.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["trial"] for row in rows if row["policy"] == "modes"] == ["0", "2", "4", "6", "7"]
    assert Image.open(folder / "replay.png").format == "PNG"


def test_same_histories_give_the_same_figures(file: str, ganray: Program) -> None:
    first, second = (ganray("replay", file, "--resamples", "20", "--json").out for _ in range(2))
    assert first == second


def test_histories_cut_short_are_told_as_bounds(here: Path, ganray: Program) -> None:
    cut = past(2, [DEAD] * 4, outcome=Outcome.COLLAPSED)
    save_histories([past(0, [DEAD] * 10), past(1, [GOOD] * 10), cut], here / "h.parquet")
    out = ganray("replay", "h.parquet", "--policy", "modes", "--resamples", "1").out
    text = " ".join(out.split())
    assert "1 bad, 1 healthy, 1 unknown" in text
    assert "Bounds: 1 of 3 histories were cut short (1 by the pruner of their own sweep)" in text


def test_no_policy_is_judged_by_histories_that_were_all_cut_short(
    here: Path, ganray: Program
) -> None:
    cut = [past(number, [DEAD] * 4, outcome=Outcome.COLLAPSED) for number in range(2)]
    save_histories(cut, here / "h.parquet")
    answer = ganray("replay", "h.parquet", "--resamples", "1")
    assert answer.code == 0
    assert answer.out.startswith("ring-1 (2): 2 unknown; ")
    assert answer.out.endswith("Run a sweep with --no-prune, and replay that.\n")
    assert "median" not in answer.out


def test_recorded_sweep_is_read_and_kept_in_a_file(
    recorded: str, here: Path, ganray: Program
) -> None:
    arguments = ["--tracking-uri", recorded, "--policy", "none", "--resamples", "1"]
    answer = ganray("replay", "recorded", *arguments, "--save", "kept.parquet", "--json")
    assert answer.code == 0
    assert json.loads(answer.out)["sources"] == {"recorded": 3}
    assert [h.number for h in load_histories(here / "kept.parquet")] == [0, 1, 3]
    again = ganray("replay", "kept.parquet", *arguments, "--json")
    assert again.out == answer.out


def test_sweeps_and_files_are_replayed_together(recorded: str, file: str, ganray: Program) -> None:
    arguments = ["--tracking-uri", recorded, "--policy", "modes", "--resamples", "2"]
    out = ganray("replay", "recorded", file, *arguments).out
    assert out.startswith("recorded (3), ring-1 (8): ")
    assert "  modes: ring-1 7 at 30%" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope.parquet"], "nope.parquet: no such file"),
        (["h.parquet", "h.parquet"], "trial 0 of sweep 'ring-1' is given twice"),
        (["h.parquet", "--policy", "medain"], "unknown policy 'medain'; did you mean 'median'?"),
        (["h.parquet", "--policy", "p.yaml"], "p.yaml: no such file"),
        (["h.parquet", "--policy", "bad.yaml"], "bad.yaml: risk: must be less than 1; got 3"),
        (["h.parquet", "--output", "h.parquet"], "h.parquet cannot be made"),
        (["h.parquet", "--save", "no/h.parquet"], "no/h.parquet cannot be written"),
        (["h.parquet", "--save", "h.csv"], "must end in .parquet"),
        (["h.parquet", "--resamples", "0"], "should be greater than or equal to 1"),
        ([], "NAME"),
    ],
)
def test_bad_input_is_refused(
    arguments: list[str], message: str, file: str, here: Path, ganray: Program
) -> None:
    (here / "bad.yaml").write_text("risk: 3")
    answer = ganray("replay", *arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert message in " ".join(answer.err.replace("│", "").split())


def test_unknown_sweep_is_told(store: str, ganray: Program) -> None:
    answer = ganray("replay", "nope")
    assert (answer.code, answer.out) == (2, "")
    assert "no sweep named 'nope'" in answer.err


def test_wrong_policy_is_told_before_anything_is_read(
    here: Path, ganray: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "read", lambda *_: pytest.fail("was read"))
    assert ganray("replay", "sweep", "--policy", "odd").code == 2


def test_progress_is_told_on_stderr_when_it_takes_longer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(replaying, "time", SimpleNamespace(monotonic=lambda: now))
    progress = replaying._Progress()
    for seconds in (1.0, 3.0, 9.0, 14.0):
        now = 100.0 + seconds
        progress.tell("reading ring", int(seconds), 20)
    progress.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "reading ring: 3 of 20\nreading ring: 14 of 20\n"
