"""A sweep in plain lines."""

from datetime import UTC, datetime

from ganray.tracking.log import LogRecorder
from ganray.tracking.recorder import TrialRecord
from ganray.trial import Ending, Outcome, State, Verdict
from tests.conftest import signals_at, sweep_record

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
STAMP = "[2026-01-02 12:00:00] "


def test_sweep_is_told_in_lines_of_starts_tenths_and_ends() -> None:
    lines: list[str] = []
    recorder = LogRecorder(lines.append, lambda: NOON)
    recorder.start_sweep(sweep_record(trials=2, confirming=1))
    searched = {"loss": "hinge", "d_lr": 0.000123456}
    recorder.start_trial(TrialRecord(number=0, params={}, searched=searched, started=0))
    verdict = Verdict(State.SUSPECT)
    for update in range(5, 105, 5):
        recorder.report(0, signals_at(update, distance=0.5, modes=3.25), verdict, 0)
    recorder.end_trial(
        Ending(number=0, outcome=Outcome.CRASHED, at=0, reason="two\n lines", objective=0.25)
    )
    recorder.start_confirming(1)
    recorder.end_sweep({0: Outcome.CRASHED, 1: Outcome.COMPLETED}, cancelled=False)
    assert all(line.startswith(STAMP) and "\n" not in line for line in lines)
    told = [line.removeprefix(STAMP) for line in lines]
    assert told[:3] == [
        "ring: 2 trials of 100 updates, then up to 1 that confirm the best",
        "trial 0 starts: loss=hinge d_lr=0.0001235",
        "trial 0 10% suspect distance 0.5 modes 3.25",
    ]
    assert told[3:12] == [f"trial 0 {n}0% suspect distance 0.5 modes 3.25" for n in range(2, 11)]
    assert told[12:] == [
        "trial 0 crashed objective 0.25: two lines",
        "confirming the best with fresh seeds: 1 trials",
        "done: 1 completed, 1 crashed",
    ]


def test_ended_trials_of_an_earlier_attempt_are_not_told_again() -> None:
    recorder = LogRecorder([].append)
    assert not recorder.wants(0, Outcome.COMPLETED)
    assert recorder.wants(1, None)
