"""A sweep told to a recorder, what came of it, and stores that fail: for the tests of both."""

import io
import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from PIL import Image

from ganray.tracking import mlflow_writer
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.reader import fetch_history, fetch_sweep
from ganray.tracking.recorder import Evidence, MemoryRecorder, Recorder, SweepRecord, TrialRecord
from ganray.trial import Ending, Outcome, State, TrialConfig, Verdict
from tests.conftest import AUDIT, STARTED, STOP, signals_at

SWEEP = SweepRecord(
    study_id="5ad1",
    name="small",
    description="Which loss?",
    sweep_file="name: small # größer\n",
    objective="distance",
    direction="min",
    searched=("loss", "d_lr", "weight_clip"),
    updates=100,
    trials=len(Outcome),
    gpus_per_trial=0.5,
    params={"data.name": "ring", "data.std": 0.02, "search.seed": 0, "prune.risk": None},
    environment={"python": "3.11", "packages": {"torch": None}},
    started=STARTED,
)
CONFIG = TrialConfig(loss="wgan", d_lr=0.1 + 0.2, g_lr=1e-300, d_steps=5, seed=2**31 - 1)
HEALTHY = Verdict(State.HEALTHY)
EVIDENCE = Evidence(
    pictures={"best.png": lambda: png(24), "stop.png": lambda: png(32)},
    best_checkpoint="/results/small/trials/0001/best.pt",
)
NO_EVIDENCE = Evidence(pictures={})


def png(size: int = 16) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((size, size), 50).save(out, "PNG")
    return out.getvalue()


def trial(number: int, config: TrialConfig = CONFIG) -> TrialRecord:
    params = asdict(replace(config, seed=number))
    return TrialRecord(
        number=number, params=params, searched={"loss": config.loss}, started=STARTED
    )


def ending(number: int, outcome: Outcome = Outcome.COMPLETED, **values: Any) -> Ending:
    history = [signals_at(10, distance=0.5, modes=3.0), signals_at(20, distance=0.3, modes=2.0)]
    defaults = {"reason": f"because {outcome}", "objective": 0.1 + 0.2, "history": history}
    defaults["at"] = STARTED + 1_000
    return Ending(number=number, outcome=outcome, **{**defaults, **values})


def play(recorder: Recorder, trials: int = 2) -> None:
    """A whole sweep, whose trials end in every way in turn."""
    outcomes = {}
    recorder.start_sweep(SWEEP)
    recorder.real_picture(lambda: png(48))
    for number in range(trials):
        recorder.start_trial(trial(number))
        outcome = list(Outcome)[number % len(Outcome)]
        history = []
        for update in (10, 20, 30):
            signals = signals_at(
                update, distance=1.0 / (update + number), modes=1e-300, js=0.1 + 0.2
            )
            recorder.report(number, signals, HEALTHY, STARTED)
            history.append(signals)
        recorder.picture(number, 30, png)
        audit = AUDIT if number == 1 else None
        stop = replace(STOP, outcome=outcome) if number == 1 else None
        recorder.end_trial(ending(number, outcome, history=history, stop=stop, would_be=audit))
        recorder.evidence(number, EVIDENCE if number == 1 else NO_EVIDENCE)
        outcomes[number] = outcome
    recorder.end_sweep(outcomes, cancelled=False)


# --- what came of it ------------------------------------------------------------------------------


@dataclass
class Heard:
    """One trial, as a recorder gives it back."""

    params: dict[str, Any]
    history: list[dict[str, Any]]
    pictures: dict[int, tuple[int, int]]  # update -> size
    outcome: str | None
    reason: str | None
    audited: bool
    objective: float | None
    rule: str | None
    stops: dict[str, dict[str, Any]]  # stop.json, would_be.json
    kept: dict[str, tuple[int, int]]  # picture -> size
    best_checkpoint: str | None


def remembered(recorder: MemoryRecorder) -> dict[int, Heard]:
    assert recorder.closed
    found = {}
    for number, record in recorder.trials.items():
        end = recorder.endings.get(number)
        pictures = recorder.pictures.get(number, {})
        found[number] = Heard(
            params=dict(record.params),
            history=[signals.to_dict() for signals in recorder.reports.get(number, [])],
            pictures={u: Image.open(io.BytesIO(data)).size for u, data in pictures.items()},
            outcome=end.outcome.value if end else None,
            reason=end.reason if end else None,
            audited=bool(end and end.audited),
            objective=end.objective if end else None,
            rule=end.stop.rule if end and end.stop else None,
            stops={
                name: end.grounds(record)
                for name, record in (("stop.json", end.stop), ("would_be.json", end.would_be))
                if record
            }
            if end
            else {},
            kept={
                name: Image.open(io.BytesIO(data)).size
                for name, data in recorder.kept.get(number, {}).items()
            },
            best_checkpoint=recorder.best_checkpoints.get(number) or None,
        )
    return found


def in_mlflow(uri: str) -> dict[int, Heard]:
    client, found = MlflowClient(uri), {}
    history: dict[int, list[dict[str, Any]]] = {}
    for report in fetch_history("small", uri):
        history.setdefault(report["trial"], []).append(
            {name: value for name, value in report.items() if name != "trial"}
        )
    for row in fetch_sweep("small", uri).trials:
        pictures = {}
        for file in client.list_artifacts(row.run_id, "images"):
            if file.path.endswith(".png"):
                update = int(file.path.split("+step+")[1].split("+")[0])
                assert update not in pictures, "uploaded twice"
                local = client.download_artifacts(row.run_id, file.path)
                pictures[update] = Image.open(local).size
        files = [file.path for file in client.list_artifacts(row.run_id)]
        stops = [name for name in files if name.endswith(".json")]
        kept = [name for name in files if name.endswith(".png")]
        found[row.number] = Heard(
            params=row.params,
            history=history.get(row.number, []),
            pictures=pictures,
            outcome=row.outcome,
            reason=row.reason,
            audited=row.audited,
            objective=row.metrics.get("objective"),
            rule=row.rule,
            stops={name: json.loads(artifact(uri, row.run_id, name).read_text()) for name in stops},
            kept={name: Image.open(artifact(uri, row.run_id, name)).size for name in kept},
            best_checkpoint=client.get_run(row.run_id).data.tags.get("ganray.best_checkpoint"),
        )
    return found


def artifact(uri: str, run_id: str, name: str) -> Path:
    return Path(MlflowClient(uri).download_artifacts(run_id, name))


def runs(uri: str) -> tuple[Run, dict[int, Run]]:
    """The run of the sweep, and those of its trials."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("ganray")
    found = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in found if run.data.tags["ganray.kind"] == "sweep"]
    children = [run for run in found if run.data.tags["ganray.kind"] == "trial"]
    numbers = [int(run.data.tags["ganray.trial"]) for run in children]
    assert len(set(numbers)) == len(numbers)
    return parent, dict(zip(numbers, children, strict=True))


def assert_whole(uri: str, trials: int = 2) -> None:
    """`play` arrived as a whole, once."""
    memory = MemoryRecorder()
    play(memory, trials)
    memory.close()
    found = in_mlflow(uri)
    assert set(found) == set(range(trials))
    for number, one in remembered(memory).items():
        assert replace(found[number], pictures={}) == replace(one, pictures={})  # without sizes
        assert set(found[number].pictures) == set(one.pictures)
    assert runs(uri)[0].info.status == "FINISHED"


# --- a store that fails ---------------------------------------------------------------------------


class Unreliable:
    """A client of a real store whose connection a test can cut.

    Args:
        uri: of the store.
        fails: told each call's name; returns what to raise, or None; `after` it has worked or not.
    """

    def __init__(
        self, uri: str, fails: Callable[[str], Exception | None], *, after: bool = False
    ) -> None:
        self._client = MlflowClient(uri)
        self._fails = fails
        self._after = after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*arguments: Any, **options: Any) -> Any:
            error = self._fails(name)
            if error is not None and not self._after:
                raise error
            result = method(*arguments, **options)
            if error is not None:
                raise error
            return result

        return call


def connect(
    monkeypatch: pytest.MonkeyPatch,
    uri: str,
    fails: Callable[[str], Exception | None],
    *,
    after: bool = False,
) -> MlflowRecorder:
    client = Unreliable(uri, fails, after=after)
    monkeypatch.setattr(mlflow_writer, "open_client", lambda uri: client)
    return MlflowRecorder(uri, "ganray")


def connect_to_away(
    monkeypatch: pytest.MonkeyPatch, uri: str, back: Callable[[str], None] = lambda name: None
) -> tuple[MlflowRecorder, threading.Event]:
    """A recorder whose store is away until the event is cleared; `back` hears each call then."""
    away = threading.Event()
    away.set()

    def fails(name: str) -> Exception | None:
        if away.is_set():
            return ConnectionError("refused")
        back(name)
        return None

    return connect(monkeypatch, uri, fails), away
