"""A run's description tells a person what there is to know, and nothing in it breaks the page."""

from dataclasses import asdict, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ganray.tracking.notes import LONGEST, Links, code, escape, sweep_note, trial_note
from ganray.tracking.reader import TrialRow
from ganray.tracking.recorder import TrialRecord
from ganray.trial import Cause, Ending, Outcome, TrialConfig
from tests.conftest import AUDIT, STARTED, STOP, signals_at, sweep_record

LINKS = Links("7", "abc")
SWEEP = sweep_record(name="ring_2")
HISTORY = (signals_at(10, distance=0.2, modes=5.0), signals_at(40, distance=1.5, modes=1.25))


def trial(confirms: int | None = None, **settings: Any) -> TrialRecord:
    return TrialRecord(
        number=17,
        params=asdict(TrialConfig(**settings)),
        searched={},
        started=STARTED,
        files="s3://bucket/ring_2/trials/0017",
        confirms=confirms,
    )


def note(outcome: Outcome = Outcome.COMPLETED, of: TrialRecord | None = None, **ended: Any) -> str:
    values = {"history": HISTORY, "at": STARTED, **ended}
    return trial_note(of or trial(), Ending(number=17, outcome=outcome, **values), SWEEP, LINKS)


# --- text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, 0.5 (5 %): fine!", "plain text, 0.5 (5 %): fine!"),
        ("*a* _b_ `c` [d](e) {f} ~~g~~ a|b", r"\*a\* \_b\_ \`c\` \[d\](e) \{f\} \~\~g\~\~ a\|b"),
        ("# head\n#tag", "\\# head\n\\#tag"),
        ("1.5 of 8\n-3\n---", "1.5 of 8\n-3\n\\---"),
        ("- a\n+ b\n= c\n1. d\n2) e", "\\- a\n\\+ b\n\\= c\n1\\. d\n2\\) e"),
        ("<class 'x'> & <b>", "&lt;class 'x'&gt; &amp; &lt;b&gt;"),
        ("back\\slash", "back\\\\slash"),
        ("    indented is no code\n\n  nor here  ", "indented is no code\n\nnor here"),
        ("", ""),
    ],
)
def test_text_is_shown_as_it_is(text: str, shown: str) -> None:
    assert escape(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"), [("a_b*c", "`a_b*c`"), ("a\nb", "`a b`"), ("a`b", "`` a`b ``")]
)
def test_code_is_one_piece_of_one_line(text: str, shown: str) -> None:
    assert code(text) == shown


# --- links ----------------------------------------------------------------------------------------


def test_run_is_linked_within_the_page_that_shows_it() -> None:
    assert LINKS.run("r1") == "#/experiments/7/runs/r1?workflowType=machine_learning"


def test_list_of_trials_is_filtered_by_outcome_with_the_best_first() -> None:
    for direction, ascending in (("min", "true"), ("max", "false")):
        address = urlsplit(LINKS.trials(direction, Outcome.STALLED)).fragment
        path, _, query = address.partition("?")
        assert path == "/experiments/7/runs"
        assert parse_qs(query) == {
            "workflowType": ["machine_learning"],
            "searchFilter": [
                "tags.`mlflow.parentRunId` = 'abc' and tags.`ganray.outcome` = 'stalled'"
            ],
            "orderByKey": ["metrics.`objective`"],
            "orderByAsc": [ascending],
        }


def test_all_trials_are_linked_as_the_saved_view_has_them() -> None:
    for charts in (False, True):
        query = urlsplit(LINKS.view(charts=charts)).fragment.partition("?")[2]
        mode = {"compareRunsMode": ["CHART"]} if charts else {}
        assert parse_qs(query) == {
            "workflowType": ["machine_learning"],
            "viewStateShareKey": ["ganray-abc"],
            **mode,
        }


# --- a trial --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"loss": "wgan", "d_steps": 5, "weight_clip": 0.01},
            "**wgan**, D:G 5:1, weights of D clipped at 0.01, "
            "learning rates 0.0002 (D) and 0.0002 (G)",
        ),
        (
            {"loss": "non_saturating", "g_lr": 1e-3},
            "**non\\_saturating**, D:G 1:1, nothing clipped or penalised, "
            "learning rates 0.0002 (D) and 0.001 (G)",
        ),
        (
            {
                "loss": "hinge",
                "d_grad_clip": 1.0,
                "g_grad_clip": 2.5,
                "spectral_norm": True,
                "penalty": "r1",
                "penalty_weight": 10.0,
            },
            "**hinge**, D:G 1:1, gradient of D clipped at 1, gradient of G clipped at 2.5, "
            "spectral norm, penalty r1 of weight 10, learning rates 0.0002 (D) and 0.0002 (G)",
        ),
        ({"model": "vae", "g_lr": 1e-3}, "**vae**, learning rate 0.001"),
    ],
)
def test_note_begins_with_what_was_trained(settings: dict[str, Any], told: str) -> None:
    sweep = "trial 17 of [ring\\_2](#/experiments/7/runs/abc?workflowType=machine_learning)"
    assert note(of=trial(**settings)).startswith(f"{told}: {sweep}.\n\n")


def test_confirming_trial_says_what_it_confirms() -> None:
    first = note(of=trial(confirms=3)).split("\n\n")[0]
    assert first.endswith(", which confirms trial 3 with another seed.")


CHARTS = f"[charts of all trials]({LINKS.view(charts=True)})"
GRID = f"Its samples by update are among the {CHARTS}"
VALUES = "distance 1.5 (best 0.2), modes 1.25 (best 5)"


@pytest.mark.parametrize(
    ("outcome", "ended", "told"),
    [
        (
            Outcome.COMPLETED,
            {"ended": "healthy"},
            f"It **completed** its 100 updates and ended healthy: {VALUES}.",
        ),
        (
            Outcome.COLLAPSED,
            {"stop": replace(STOP, reason="1.0 of 8 modes_covered")},
            f"It **collapsed** at update 40 of 100 (40%): {VALUES}. "
            "Stopped by the rule `few_modes`: 1.0 of 8 modes\\_covered.",
        ),
        (
            Outcome.OUTRANKED,
            {"stop": replace(STOP, rule="median", reason="worse")},
            f"It was **outranked** at update 40 of 100 (40%): {VALUES}. "
            "Stopped by the rule `median`: worse.",
        ),
        (
            Outcome.COMPLETED,
            {"would_be": AUDIT, "ended": "between"},
            f"It **completed** its 100 updates and ended between healthy and bad: {VALUES}. "
            "It is audited: it would have been stopped at update 10 by the rule `separable`: "
            "JS saturated.",
        ),
        (
            Outcome.CRASHED,
            {"cause": Cause.OUT_OF_MEMORY, "reason": "no <memory>\nat all", "history": ()},
            "It **crashed** at update 0 of 100 (0%). "
            "The reason: out\\_of\\_memory: no &lt;memory&gt; at all.",
        ),
        (
            Outcome.CANCELLED,
            {"reason": "the sweep was stopped"},
            f"It was **cancelled** at update 40 of 100 (40%): {VALUES}. "
            "The reason: the sweep was stopped.",
        ),
    ],
)
def test_note_tells_how_it_ended_with_numbers_and_why(
    outcome: Outcome, ended: dict[str, Any], told: str
) -> None:
    assert note(outcome, **ended).split("\n\n")[1] == told


def test_note_tells_the_objective_first_whatever_it_is() -> None:
    history = [signals_at(10, fid=5.0, auc=0.75), signals_at(20, fid=3.0)]
    for objective, told in (("fid", "fid 3 (best 3)"), ("auc", "auc 0.75")):
        found = trial_note(
            trial(),
            Ending(number=17, outcome=Outcome.COMPLETED, at=STARTED, history=history),
            sweep_record(objective=objective),
            LINKS,
        )
        assert f"updates: {told}." in found


@pytest.mark.parametrize(
    ("outcome", "ended", "told"),
    [
        (
            Outcome.COMPLETED,
            {},
            f"{GRID}, `best.png` under Artifacts; its files "
            "lie in `s3://bucket/ring_2/trials/0017`; `ganray sample ring_2 --trial 17` draws "
            "more from its checkpoint.",
        ),
        (
            Outcome.STALLED,
            {"stop": STOP},
            f"{GRID}, `best.png` and `stop.png` under "
            "Artifacts; its files lie in `s3://bucket/ring_2/trials/0017`; "
            "`ganray sample ring_2 --trial 17 --at best` draws more from its checkpoint.",
        ),
        (
            Outcome.CRASHED,
            {"reason": "no memory"},
            f"{GRID}; its files lie in `s3://bucket/ring_2/trials/0017`.",
        ),
    ],
)
def test_note_ends_with_where_the_rest_lies(
    outcome: Outcome, ended: dict[str, Any], told: str
) -> None:
    assert note(outcome, **ended).split("\n\n")[2] == told


def test_trial_that_reported_nothing_left_nothing() -> None:
    assert len(note(Outcome.CRASHED, history=(), reason="at once").split("\n\n")) == 2


def test_note_of_any_reason_fits_into_a_tag() -> None:
    assert len(note(Outcome.CRASHED, reason="<" * 30_000)) < LONGEST


# --- a sweep --------------------------------------------------------------------------------------


def best(**values: Any) -> TrialRow:
    plain: dict[str, Any] = dict.fromkeys(TrialRow.__dataclass_fields__)
    plain |= {"number": 3, "run_id": "r3", "params": {"loss": "non_saturating"}}
    plain |= {"metrics": {"objective": 0.0262, "modes": 7.1}, "best": {}}
    return TrialRow(**{**plain, **values})


OUTCOMES = {0: Outcome.STALLED, 1: Outcome.COMPLETED, 2: Outcome.STALLED, 3: Outcome.COMPLETED}


def told(*, model: str | None = None, cancelled: bool = False, **changes: Any) -> list[str]:
    sweep = sweep_record(**{"name": "ring_2", **changes})
    note = sweep_note(sweep, OUTCOMES, best(), LINKS, model=model, cancelled=cancelled)
    return note.split("\n\n")


def test_note_of_a_sweep_begins_with_what_its_file_says() -> None:
    assert told(description="Which *loss*\n\nis best?")[:2] == [r"Which \*loss\*", "is best?"]
    assert told()[0].startswith("It **ended**")


def test_note_of_a_sweep_tells_how_trials_ended_with_a_list_of_each() -> None:
    table, charts = LINKS.view(), LINKS.view(charts=True)
    assert told()[0] == (
        f"It **ended** with 4 trials ([table]({table}), [charts]({charts})): "
        f"[2 completed]({LINKS.trials('min', Outcome.COMPLETED)}), "
        f"[2 stalled]({LINKS.trials('min', Outcome.STALLED)})."
    )
    assert told(cancelled=True)[0].startswith("It was **stopped** with 4 trials ")


def test_note_of_a_sweep_tells_its_best_trial() -> None:
    assert told()[1] == (
        "The best is [trial 3 (non\\_saturating)]"
        "(#/experiments/7/runs/r3?workflowType=machine_learning): distance 0.0262, 7.1 modes."
    )


def test_note_of_a_sweep_tells_how_to_load_its_model() -> None:
    assert told(model="m-1")[1].endswith(
        " Its generator is [a model](#/experiments/7/models/m-1?workflowType=machine_learning): "
        '`mlflow.pyfunc.load_model("models:/m-1")`.'
    )


def test_note_of_a_sweep_tells_which_artifact_tells_what() -> None:
    assert told()[2].startswith("Artifacts: `sweep.yaml`: the sweep, to run it again; ")
    assert "`confirmation.json`" in told(confirming=4)[2]
    assert "`confirmation.json`" not in told()[2]


def test_sweep_that_completed_nothing_has_no_best() -> None:
    note = sweep_note(sweep_record(), {}, None, LINKS, cancelled=True)
    assert "It was stopped before a trial ended.\n\nNo trial completed" in note


def test_note_of_a_sweep_with_a_long_description_fits_into_a_tag() -> None:
    assert max(map(len, told(description="word " * 20_000))) < 3_100
    assert len("".join(told(description="<" * 20_000))) <= LONGEST
