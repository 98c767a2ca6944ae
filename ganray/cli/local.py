"""Sweeps that run on this machine: with a live table, to the summary; continued; stopped."""

from collections.abc import Callable, Mapping, Sequence

from rich.console import Console

from ganray.cli.calling import command
from ganray.cli.live import open_board
from ganray.cli.reporting import record_report
from ganray.cli.screen import tell
from ganray.cli.syncing import bring
from ganray.cli.tables import print_summary
from ganray.errors import TrackingError, UnknownSweepError
from ganray.secrets import redact
from ganray.spec.models import Storage, SweepSpec
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.recorder import Recorder
from ganray.tracking.store import tracking_uri
from ganray.trial import Outcome
from ganray.tuning import driver
from ganray.tuning.finished import Finished, find_finished
from ganray.tuning.places import Place
from ganray.tuning.recorded import recorded_spec
from ganray.tuning.result import SweepResult
from ganray.tuning.roster import OUT_OF_TIME
from ganray.tuning.stopping import stop_sweep

UNPRUNED = (
    "\nNo trial completed: all were stopped early. To see how they end, run the sweep again with "
    "--no-prune and another --name; or give it a larger budget.updates"
)


def run_here(spec: SweepSpec) -> int:
    """Run a new sweep in this process; returns the exit code."""
    return _drive(spec, lambda recorders: driver.run_sweep(spec, recorders))


def resume_here(name: str, storage: Mapping[str, str], settings: Sequence[str]) -> int:
    """Continue a recorded sweep in this process; returns the exit code.

    Args:
        name: of the sweep.
        storage: where its study and results are, as in a sweep file.
        settings: what changes, as `key=value`.
    """
    place = Place(name, Storage.model_validate(storage))
    spec = recorded_spec(place, settings)
    finished = find_finished(place, settings)
    if finished is not None:
        print(bring(name, storage, None))
        _tell_finished(name, storage, finished)
        return 0
    return _drive(spec, lambda recorders: driver.resume_sweep(place, settings, recorders))


def stop_here(name: str, storage: Mapping[str, str]) -> str:
    """Stop a sweep that another process of this machine drives; returns what became of it."""
    ran = stop_sweep(Place(name, Storage.model_validate(storage)))
    return "stopped" if ran else "not running"


def _tell_finished(name: str, storage: Mapping[str, str], finished: Finished) -> None:
    tell(f"{name}: all {finished.trials} trials are finished, nothing is left to resume.")
    if finished.confirming:
        tell("Its best are confirmed, so it takes no more: run a new sweep, with another --name.")
        return
    where = [word for place in storage.values() for word in ("--storage", redact(place))]
    more = command("resume", name, *where, "--trials", str(2 * finished.trials))
    tell(f"Give it more with a larger number of trials:\n  {more}")


def _tell_next(spec: SweepSpec, uri: str, result: SweepResult, *, is_whole: bool) -> None:
    """What to do with a sweep that has ended: commands to be copied, each on a line of its own."""
    if not is_whole:
        tell(f"\nMLflow lacks a part of it, which the study has:\n  {_sync(spec)}")
        return
    name = spec.name
    store = [] if uri == tracking_uri() else ["--tracking-uri", redact(uri)]
    tell("\nEvery trial is recorded in MLflow. What next:")
    if _ended_early(result):
        tell(f"  # to go on from here\n  {_resume(spec, result)}")
    for purpose, words in (
        ("its web pages", ["ui"]),
        ("one page that tells the sweep", ["report", name]),
        ("the tables above, again", ["summary", name]),
    ):
        tell(f"  # {purpose}\n  {command(*words, *store)}")


def _drive(spec: SweepSpec, start: Callable[[list[Recorder]], SweepResult]) -> int:
    uri = tracking_uri(spec.tracking.uri)
    console = Console(stderr=True)
    board = open_board(console)
    recorder = MlflowRecorder(uri, spec.tracking.experiment)
    try:
        result = start([board, recorder])
    finally:
        board.close()
    if result.reason is not None:
        console.print(f"The sweep ended early: {result.reason}", highlight=False)
    if _has_shown(spec, uri, console):
        if _were_all_stopped(result):
            console.print(UNPRUNED, highlight=False, soft_wrap=True)
        record_report(spec.name, uri, console)
        _tell_next(spec, uri, result, is_whole=recorder.complete)
    return int(_ended_early(result))


def _ended_early(result: SweepResult) -> bool:
    return result.cancelled or result.reason is not None


def _resume(spec: SweepSpec, result: SweepResult) -> str:
    """The command that goes on, with twice as much of what was used up."""
    more: list[str] = []
    if result.reason == OUT_OF_TIME and spec.budget.hours is not None:
        more = ["--hours", f"{2 * spec.budget.hours:g}"]
    elif result.reason is not None:
        crashed = sum(outcome is Outcome.CRASHED for outcome in result.outcomes.values())
        more = ["--failures", str(2 * crashed)]
    return command("resume", spec.name, *_storage(spec), *more)


def _sync(spec: SweepSpec) -> str:
    """The command that brings to MLflow what it lacks."""
    return command("sync", spec.name, *_storage(spec))


def _storage(spec: SweepSpec) -> list[str]:
    """The option that says where the sweep is, if it is not in the usual place."""
    place = spec.storage.study or spec.storage.results
    return ["--storage", redact(place)] if place else []


def _has_shown(spec: SweepSpec, uri: str, console: Console) -> bool:
    """Print the summary; False where the store is away or has not all of it, which is told.

    The study has the sweep as it ended, so that this is no error of whoever started it.
    """
    try:
        print_summary(spec.name, uri)
    except (TrackingError, UnknownSweepError) as error:
        told = f"No summary yet: {error}\nOnce the store is back:\n  {_sync(spec)}"
        console.print(told, highlight=False, markup=False, soft_wrap=True)
        return False
    return True


def _were_all_stopped(result: SweepResult) -> bool:
    """Whether rules stopped all trials, or all but those with nothing finite left to train."""
    outcomes = set(result.outcomes.values())
    return all(outcome.is_pruned for outcome in outcomes) and not outcomes <= {Outcome.DIVERGED}
