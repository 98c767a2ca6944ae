"""A sweep told to MLflow as a whole, as after an outage; with states, notes, tags and a view."""

from collections.abc import Sequence
from dataclasses import asdict

from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.recorder import TrialRecord
from ganray.trial import Ending, Outcome, State, TrialConfig, Verdict
from tests.benchmarks.growth_runs import ready_made
from tests.conftest import STARTED, sweep_record

SEARCHED = ("loss", "d_steps", "d_lr", "g_lr", "weight_clip")


def tell_sweep(uri: str, name: str, trials: int, updates: Sequence[int]) -> None:
    """Record trials with as many values as those of a sweep on the ring have.

    Args:
        uri: of the tracking store.
        name: of the sweep.
        trials: how many, all completed.
        updates: those that each of them reports.
    """
    budget = updates[-1]
    recorder = MlflowRecorder(uri, "ganray")
    sweep = sweep_record(name=name, searched=SEARCHED, updates=budget, trials=trials)
    recorder.start_sweep(sweep)
    params = asdict(TrialConfig(weight_clip=0.01))
    given = {parameter: params[parameter] for parameter in SEARCHED}
    for number in range(trials):
        recorder.start_trial(
            TrialRecord(number=number, params=params, searched=given, started=STARTED)
        )
        made = [ready_made(number, update) for update in updates]
        for signals in made:
            recorder.report(number, signals, Verdict(State.HEALTHY), STARTED + signals.update)
        end = {"outcome": Outcome.COMPLETED, "at": STARTED + 2 * budget, "history": made}
        recorder.end_trial(Ending(number=number, objective=made[-1].distance, **end))
    recorder.end_sweep({}, cancelled=False)
    recorder.close()
    assert recorder.complete
