"""The summary of a small recorded sweep, held against what was recorded, value by value."""

import ast
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import ganray
from ganray.errors import UnknownSweepError
from ganray.summary import (
    audit,
    best_trial,
    compare,
    confirmation,
    history,
    ledger,
    rows,
    searched_columns,
    summarize,
)
from ganray.tracking.ledger import COLUMNS as COLUMNS_OF_LEDGER
from ganray.tracking.ledger import Audit
from ganray.trial import SIGNALS
from tests.conftest import CONFIRMING, RECORDED, signals_at

SEARCHED = ["loss", "d_steps", "weight_clip", "d_grad_clip", "d_lr"]
BEST = [f"best_{name}" for name, better in SIGNALS.items() if better is not None]
COLUMNS = [
    *["trial", "phase", "confirms", "outcome", "ending", "cause", "retries"],
    *["audited", "rule", "reason"],
    *["stopped_at", "would_be_outcome", "would_be_rule", "would_be_reason"],
    *["would_be_stopped_at", "seconds", "measured_seconds", "gpu_hours", "objective"],
    *[*SEARCHED, *SIGNALS, *BEST],
    *["d_updates", "g_updates", "images", "started", "ended", "run_id"],
]
DTYPES = {
    **dict.fromkeys(COLUMNS, "Float64"),
    **dict.fromkeys(["trial", "confirms", "retries", "d_steps"], "Int64"),
    **dict.fromkeys(["d_updates", "g_updates", "images"], "Int64"),
    **dict.fromkeys(["loss", "rule", "reason", "run_id"], "string"),
    **dict.fromkeys(["would_be_rule", "would_be_reason"], "string"),
    **dict.fromkeys(["phase", "outcome", "ending", "cause", "would_be_outcome"], "category"),
    **dict.fromkeys(["started", "ended"], "datetime64[ms, UTC]"),
    "audited": "boolean",
}


@pytest.fixture(scope="module")
def frame(recorded: str) -> pd.DataFrame:
    return summarize("recorded", recorded)


def test_summary_has_its_documented_columns_in_their_order(frame: pd.DataFrame) -> None:
    assert list(frame.columns) == COLUMNS


def test_every_column_has_its_type(frame: pd.DataFrame) -> None:
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == DTYPES
    assert list(frame["phase"].cat.categories) == ["search", "confirm"]
    assert list(frame["ending"].cat.categories) == ["healthy", "between", "bad"]


def test_every_value_is_the_one_that_was_recorded(frame: pd.DataFrame) -> None:
    for row in rows(frame):
        settings, reports, outcome = RECORDED[row["trial"]]
        history = [signals_at(10 * (i + 1), **values) for i, values in enumerate(reports)]
        assert {name: row[name] for name in SEARCHED} == {
            name: settings.get(name) for name in SEARCHED
        }
        last: dict[str, Any] = {}
        for signals in history:
            last |= signals.to_dict()
        names = [*SIGNALS, "seconds", "d_updates", "g_updates", "images"]
        assert {name: row[name] for name in names} == {name: last.get(name) for name in names}
        assert row["outcome"] == (outcome.value if outcome else None)
        assert row["reason"] == (f"because {outcome}" if outcome else None)
        assert row["rule"] == ("few_modes" if row["trial"] == 1 else None)
        assert row["audited"] is (row["trial"] == 3)
        assert (row["phase"], row["confirms"]) == ("search", None)
        assert row["ending"] == {0: "bad", 3: "healthy"}.get(row["trial"])
        names = ("outcome", "rule", "reason", "stopped_at")
        assert [row[f"would_be_{name}"] for name in names] == (
            ["stalled", "separable", "JS saturated", 0.5] if row["trial"] == 3 else [None] * 4
        )


def test_what_is_known_at_the_end_of_a_trial(frame: pd.DataFrame) -> None:
    ends = frame.set_index("trial")[["objective", "stopped_at", "gpu_hours"]]
    assert rows(ends) == [
        {"objective": 1 / 3, "stopped_at": 1.0, "gpu_hours": 0.5},
        {"objective": 0.9, "stopped_at": 0.5, "gpu_hours": 0.5},
        {"objective": None, "stopped_at": 0.0, "gpu_hours": 0.5},
        {"objective": 0.125, "stopped_at": 1.0, "gpu_hours": 0.5},
        {"objective": None, "stopped_at": None, "gpu_hours": None},
    ]
    best = rows(frame[["best_distance", "best_modes"]])
    assert best[0] == {"best_distance": 1 / 3, "best_modes": 7.5}
    assert best[2] == {"best_distance": None, "best_modes": None}


def test_trial_that_still_runs_has_no_outcome_but_its_last_signals(frame: pd.DataFrame) -> None:
    row = rows(frame)[4]
    assert (row["outcome"], row["reason"], row["ended"], row["objective"]) == (None,) * 4
    assert row["modes"] == 3.0
    assert row["audited"] is False
    assert isinstance(row["started"], datetime)


def test_summary_says_what_it_is_of(frame: pd.DataFrame) -> None:
    assert frame.attrs == {
        "sweep": "recorded",
        "objective": "distance",
        "direction": "min",
        "status": "RUNNING",
        "searched": SEARCHED,
        "risk": 0.02,
    }
    assert searched_columns(frame) == SEARCHED


def test_sweep_without_trials_is_an_empty_frame_of_the_same_kind(
    frame: pd.DataFrame, recorded: str
) -> None:
    empty = summarize("empty", recorded)
    assert len(empty) == 0
    assert list(empty.columns) == COLUMNS
    assert empty.dtypes.equals(frame.dtypes)
    assert best_trial(empty) is None
    assert rows(empty) == []


def test_unknown_sweep_is_told(recorded: str) -> None:
    with pytest.raises(UnknownSweepError, match=r"^no sweep named 'nope' is recorded in sqlite:"):
        summarize("nope", recorded)
    with pytest.raises(UnknownSweepError, match=r"^no sweep named 'nope' is recorded in sqlite:"):
        history("nope", recorded)


def test_history_is_a_row_a_report(recorded: str) -> None:
    frame = history("recorded", recorded)
    assert list(frame.columns) == [
        *["trial", "update", "d_updates", "g_updates", "images", "seconds"],
        *SIGNALS,
    ]
    whole = {"trial", "update", "d_updates", "g_updates", "images"}
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        name: "Int64" if name in whole else "Float64" for name in frame.columns
    }
    expected = [
        {"trial": number} | signals_at(10 * (index + 1), **values).to_dict()
        for number, (_, reports, _) in RECORDED.items()
        for index, values in enumerate(reports)
    ]
    defined = [{k: v for k, v in row.items() if v is not None} for row in rows(frame)]
    assert defined == expected
    empty = history("empty", recorded)
    assert len(empty) == 0
    assert empty.dtypes.equals(frame.dtypes)


def test_best_trial_is_the_completed_one_with_the_best_objective(frame: pd.DataFrame) -> None:
    best = best_trial(frame)
    assert best is not None
    assert (best["trial"], best["objective"]) == (3, 0.125)
    turned = frame.copy()
    turned.attrs = {**frame.attrs, "direction": "max"}
    worst = best_trial(turned)
    assert worst is not None
    assert worst["trial"] == 0  # not 1, whose 0.9 is that of a collapsed trial
    assert best_trial(frame[frame["outcome"] != "completed"]) is None


def test_audit_of_a_summary_is_that_of_its_trials(frame: pd.DataFrame, recorded: str) -> None:
    assert audit(frame) == Audit(stops=2, ran_on=1, healthy=1)
    assert audit(summarize("empty", recorded)) == Audit(stops=0, ran_on=0, healthy=0)


def test_ledger_of_a_summary_has_a_row_a_rule(frame: pd.DataFrame, recorded: str) -> None:
    found = ledger(frame)
    assert tuple(found.columns) == COLUMNS_OF_LEDGER
    assert list(found["rule"]) == ["few_modes", "none", "measuring", "total"]
    assert list(found["trials"]) == [1, 4, 0, 5]
    few_modes = rows(found)[0]
    assert (few_modes["used_updates"], few_modes["saved_updates"]) == (10, 10.0)
    assert few_modes["surely_saved_updates"] == 9.8  # at the risk of 0.02
    assert list(ledger(summarize("empty", recorded))["rule"]) == ["measuring", "total"]


def test_rows_are_plain_values(frame: pd.DataFrame) -> None:
    row = rows(frame)[0]
    kinds = {name: type(row[name]) for name in ("trial", "d_steps", "d_lr", "loss", "audited")}
    assert kinds == {"trial": int, "d_steps": int, "d_lr": float, "loss": str, "audited": bool}
    assert row["d_grad_clip"] is None


# --- several sweeps ------------------------------------------------------------------------------


def test_trials_of_several_sweeps_stand_in_one_frame(frame: pd.DataFrame, both: str) -> None:
    found = compare(["confirmed", "recorded"], both)
    assert list(found.columns) == ["sweep", *COLUMNS]
    assert {name: str(kind) for name, kind in found.dtypes.items()} == {
        "sweep": "category",
        **DTYPES,
    }
    assert list(found["sweep"].cat.categories) == ["confirmed", "recorded"]
    assert list(found["sweep"].value_counts(sort=False)) == [10, 5]
    for name in ("confirmed", "recorded"):
        part = found[found["sweep"] == name].drop(columns="sweep").reset_index(drop=True)
        alone = summarize(name, both)
        assert rows(part[alone.columns]) == rows(alone)


def test_parameter_that_a_sweep_did_not_search_has_the_value_that_it_was_fixed_to(
    both: str,
) -> None:
    found = compare(["confirmed", "recorded"], both)
    assert set(found[found["sweep"] == "confirmed"]["d_steps"]) == {1}
    assert found[found["sweep"] == "confirmed"]["weight_clip"].isna().all()


def test_comparison_says_what_it_is_of(both: str) -> None:
    found = compare(["recorded", "confirmed", "recorded"], both)
    assert found.attrs == {
        "sweep": ["recorded", "confirmed"],
        "objective": "distance",
        "direction": "min",
        "searched": SEARCHED,
    }


def test_comparison_of_no_trials_has_the_columns_of_others(both: str) -> None:
    kinds = [compare([name], both).dtypes.drop("sweep") for name in ("empty", "recorded")]
    assert kinds[0].equals(kinds[1])
    assert len(compare([], both)) == 0
    with pytest.raises(UnknownSweepError, match="no sweep named 'nope'"):
        compare(["recorded", "nope"], both)


# --- what people ask ------------------------------------------------------------------------------


def answers(code: str, **names: Any) -> list[Any]:
    """The values of the expressions that stand by themselves in some code."""
    found = []
    for statement in ast.parse(code).body:
        if isinstance(statement, ast.Expr):
            found.append(eval(compile(ast.Expression(statement.value), "", "eval"), names))
        else:
            exec(compile(ast.Module([statement], []), "", "exec"), names)
    return found


def test_questions_of_the_readme_are_answered_as_it_says(
    frame: pd.DataFrame, both: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(# the best trial.*?)^```", readme, re.MULTILINE | re.DOTALL)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", both)
    monkeypatch.setitem(vars(ganray), "compare", lambda _: compare(["recorded", "confirmed"]))
    reports = pd.DataFrame(
        {
            "trial": [0, 0, 0, 0, 1, 1],
            "modes": [5.0, 7.0, 6.5, 6.0, 3.0, None],
            "seconds": [1.0, 2.0, 3.0, 4.0, 1.0, 2.0],
        }
    ).convert_dtypes()
    best, failing, seconds, side_by_side = answers(
        code, ganray=ganray, frame=frame.assign(g_steps=1), reports=reports
    )
    assert best.set_index("loss")["trial"].to_dict() == {"hinge": 3, "wgan": 0, "lsgan": 2}
    assert failing.to_dict() == {(1, 1): 0.5, (2, 1): 0.0, (5, 1): 0.0}
    assert seconds.to_dict() == {0: 4.0}
    assert side_by_side.to_dict() == {
        "recorded": {"hinge": 0.125, "wgan": 1 / 3},
        "confirmed": {"hinge": 0.01, "wgan": 0.25},
    }


# --- confirmed ------------------------------------------------------------------------------------


def test_confirming_trial_says_which_one_it_repeats_and_how_it_ended(confirming: str) -> None:
    found = rows(summarize("confirmed", confirming))
    columns = ("confirms", "objective", "outcome", "ending")
    assert {row["trial"]: tuple(row[name] for name in columns) for row in found} == CONFIRMING
    assert [row["phase"] for row in found] == ["search"] * 3 + ["confirm"] * 7


def test_best_trial_is_one_of_the_search(confirming: str) -> None:
    best = best_trial(summarize("confirmed", confirming))
    assert best is not None
    assert best["trial"] == 1  # not 3, the same settings with a seed that did better


def test_confirmation_is_a_row_a_configuration_the_best_median_first(confirming: str) -> None:
    frame = confirmation("confirmed", confirming)
    columns = ["trial", "objective", "loss", "seeds", "median", "worst", "best", "bad", "healthy"]
    assert list(frame.columns) == columns
    third = 1 / 3
    assert [tuple(row.values()) for row in rows(frame)] == [
        (0, 0.25, "wgan", 2, 0.375, 0.5, 0.25, 0.5, 0.0),
        # the one that diverged has no objective, whatever it reported before
        (1, 0.125, "hinge", 3, 0.5, None, 0.0625, 2 * third, third),
    ]
    assert searched_columns(frame) == ["loss"]


def test_sweep_that_confirmed_nothing_has_an_empty_confirmation(
    confirming: str, recorded: str
) -> None:
    frame = confirmation("recorded", recorded)
    assert len(frame) == 0
    assert frame["d_steps"].dtype == "Int64"
    assert frame["median"].dtype == confirmation("confirmed", confirming)["median"].dtype
