"""What several test files build on: small sweeps, signals, stores, and the program in process."""

import copy
import io
import logging
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import settings
from PIL import Image

from ganray.spec.load import parse_sweep
from ganray.spec.models import SweepSpec
from ganray.tracking import mlflow_recorder
from ganray.tracking import store as tracking_store
from ganray.tracking.recorder import Recorder, SweepRecord, TrialRecord
from ganray.trial import (
    Cause,
    Ended,
    Ending,
    Outcome,
    Signals,
    State,
    StopRecord,
    TrialConfig,
    Verdict,
)

if TYPE_CHECKING:
    from optuna.study import Study

    from ganray.tuning.replay.histories import History
    from tests.servers import PostgresServer

# the same examples everywhere, so that a failure on one machine is a failure on every machine
settings.register_profile("ganray", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("ganray")

SMALL: dict[str, Any] = {
    "name": "small",
    "data": {"name": "ring", "train_size": 1_000},
    "networks": {"name": "mlp", "width": 8, "depth": 1},
    "search": {"sampler": "random", "trials": 4, "space": {"loss": ["hinge", "lsgan"]}},
    "budget": {"updates": 100, "reports": 10},
}


# a sweep as it may stand in a store: the trials' settings, what they reported, how they ended
RECORDED: dict[int, tuple[dict[str, Any], list[dict[str, Any]], Outcome | None]] = {
    0: (
        {"loss": "wgan", "d_lr": 0.1 + 0.2, "d_steps": 5, "weight_clip": 0.01},
        [{"distance": 0.5, "modes": 7.5, "js": 0.1}, {"distance": 1 / 3, "modes": 2.0}],
        Outcome.COMPLETED,
    ),
    1: (
        {"loss": "hinge", "d_lr": 1e-300, "d_steps": 1, "d_grad_clip": 1.0},
        [{"distance": 0.9, "modes": 1.0, "mode_ratio": 0.125, "js": 0.6}],
        Outcome.COLLAPSED,
    ),
    2: ({"loss": "lsgan", "d_lr": 2e-4, "d_steps": 2}, [], Outcome.CRASHED),
    3: (
        {"loss": "hinge", "d_lr": 1.0, "d_steps": 2, "d_grad_clip": 1.0},
        [{"distance": 0.125, "modes": 8.0, "modes_covered": 8.0, "js": 0.2}] * 2,
        Outcome.COMPLETED,
    ),
    4: ({"loss": "wgan", "d_lr": 0.5, "d_steps": 1, "weight_clip": 1.0}, [{"modes": 3.0}], None),
}


STARTED = 1_700_000_000_000  # of sweeps and trials that tests make up, ms since 1970

# what stopped trial 1 of it, and what would have stopped trial 3
STOP = StopRecord(
    update=10,
    outcome=Outcome.COLLAPSED,
    reason="few modes",
    rule="few_modes",
    thresholds={"mode_ratio": 0.35},
    recovery=0.01,
)
AUDIT = StopRecord(update=10, outcome=Outcome.STALLED, reason="JS saturated", rule="separable")
# and one whose best two ran again: which trial is confirmed, its objective, how it ended
CONFIRMING: dict[int, tuple[int | None, float | None, Outcome | None, Ended | None]] = {
    0: (None, 0.25, Outcome.COMPLETED, "healthy"),
    1: (None, 0.125, Outcome.COMPLETED, "healthy"),
    2: (None, 0.75, Outcome.STALLED, None),
    3: (1, 0.0625, Outcome.COMPLETED, "healthy"),
    4: (0, 0.25, Outcome.COMPLETED, "between"),
    5: (1, 0.01, Outcome.DIVERGED, "bad"),
    6: (0, 0.5, Outcome.COMPLETED, "bad"),
    7: (1, 0.5, Outcome.COMPLETED, "bad"),
    8: (0, 0.9, Outcome.CANCELLED, None),
    9: (0, None, None, None),
}


class Answer(NamedTuple):
    """What the program gave back."""

    code: int
    out: str
    err: str


def small_spec(folder: Path, **parts: Any) -> SweepSpec:
    """A valid sweep whose files go under `folder`; `search` is laid over that of `SMALL`."""
    raw = copy.deepcopy(SMALL) | {"storage": {"results": str(folder / "results")}}
    raw["search"] |= parts.pop("search", {})
    return parse_sweep(raw | parts)


def signals_at(update: int, **values: Any) -> Signals:
    """One report's signals, with the counters of a 1:1 ratio and batches of 100."""
    counters = {
        "d_updates": update - update // 2,
        "g_updates": update // 2,
        "images": 100 * (update - update // 2),
        "seconds": update / 1_000,
    }
    return Signals(update=update, **{**counters, **values})


def past(number: int, values: list[dict[str, Any]], **changes: Any) -> "History":
    """A recorded trial of ten reports, every 100 updates of 1,000, if it was not cut short."""
    from ganray.tuning.replay.histories import History

    plain: dict[str, Any] = {
        "source": "ring-1",
        "data": "ring",
        "number": number,
        "config": {"loss": "hinge", "d_lr": 0.001 * (number + 1), "seed": number},
        "searched": ("loss", "d_lr"),
        "budget": 1_000,
        "metric": "distance",
        "direction": "min",
        "outcome": Outcome.COMPLETED,
        "reason": "the full budget",
        "reports": tuple(signals_at(100 * (i + 1), **v) for i, v in enumerate(values)),
    }
    return History(**{**plain, **changes})


def sweep_record(**changes: Any) -> SweepRecord:
    """A sweep as recorders are told of it: by default ten trials of 100 updates on the ring."""
    plain: dict[str, Any] = {
        "name": "ring",
        "study_id": "5ad1",
        "description": None,
        "sweep_file": "",
        "objective": "distance",
        "direction": "min",
        "searched": ("loss",),
        "updates": 100,
        "trials": 10,
        "gpus_per_trial": 0.0,
        "params": {},
        "environment": {},
        "started": STARTED,
    }
    return SweepRecord(**{**plain, **changes})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own, with an empty home beside it, and no MLflow store given."""
    folder, home = tmp_path / "here", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracking_store._default_uri.cache_clear()  # a folder of its own, as a process of its own has
    return folder


@pytest.fixture
def own_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs a program in process: the filter that it gives to all logging goes again.

    pytest's handlers stay; with a filter more for each program, logging takes ever longer.
    """
    for handler in logging.getLogger().handlers:
        monkeypatch.setattr(handler, "filters", handler.filters.copy())


@pytest.fixture
def ganray(
    own_filters: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """The program, in this process: `ganray("validate", "ring.yaml")`."""

    def call(*arguments: str | Path) -> Answer:
        from ganray.cli.app import main

        monkeypatch.setattr(sys, "argv", ["ganray", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return Answer(int(end.value.code or 0), out, err)

    return call


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without a run: making one takes seconds, copying it none."""
    folder = tmp_path_factory.mktemp("store")
    script = "import mlflow; mlflow.MlflowClient('sqlite:///mlflow.db').search_experiments()"
    command = [sys.executable, "-W", "ignore", "-c", script]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "mlflow.db"


@pytest.fixture
def store(here: Path, empty_store: Path) -> str:
    """The URI of a fresh MLflow store in the working folder, where it is the default one."""
    shutil.copy(empty_store, here / "mlflow.db")
    return f"sqlite:///{here / 'mlflow.db'}"


@contextmanager
def writing(empty_store: Path, folder: Path) -> Iterator[str]:
    """The URI of a fresh store in a folder, the working one while it is filled, and fast."""
    shutil.copy(empty_store, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(mlflow_recorder, "FLUSH_SECONDS", 0.02)
        yield f"sqlite:///{folder / 'mlflow.db'}"


@pytest.fixture(scope="session")
def recorded(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a store with the sweeps `recorded`, as in `RECORDED`, and `empty`."""
    with writing(empty_store, tmp_path_factory.mktemp("recorded")) as uri:
        for name in ("recorded", "empty"):
            _record(mlflow_recorder.MlflowRecorder(uri, "ganray"), name)
    return uri


@pytest.fixture(scope="session")
def confirming(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a store with the sweep `confirmed`, as in `CONFIRMING`."""
    with writing(empty_store, tmp_path_factory.mktemp("confirmed")) as uri:
        record_confirmation(mlflow_recorder.MlflowRecorder(uri, "ganray"))
    return uri


@pytest.fixture(scope="session")
def both(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a store with the sweeps of `recorded` and that of `confirming`."""
    with writing(empty_store, tmp_path_factory.mktemp("both")) as uri:
        for name in ("recorded", "empty"):
            _record(mlflow_recorder.MlflowRecorder(uri, "ganray"), name)
        record_confirmation(mlflow_recorder.MlflowRecorder(uri, "ganray"))
    return uri


def record_confirmation(recorder: Recorder) -> None:
    """Tell a recorder of `CONFIRMING`: trial 0 and what confirms it of wgan, others of hinge."""
    recorder.start_sweep(sweep_record(name="confirmed", trials=3, confirming=8))
    for number, (confirms, objective, outcome, ended) in CONFIRMING.items():
        if number == 3:
            recorder.start_confirming(7)
        searched = {"loss": "wgan" if 0 in (number, confirms) else "hinge"}
        params = {**asdict(TrialConfig(seed=number)), **searched}
        recorder.start_trial(
            TrialRecord(
                number=number,
                params=params,
                searched=searched,
                started=STARTED,
                confirms=confirms,
            )
        )
        if outcome is not None:
            recorder.end_trial(
                Ending(
                    number=number,
                    outcome=outcome,
                    at=STARTED + 1_000,
                    objective=objective,
                    ended=ended,
                )
            )
    recorder.end_sweep({}, cancelled=True)
    recorder.close()


def _record(recorder: mlflow_recorder.MlflowRecorder, name: str) -> None:
    trials = RECORDED if name == "recorded" else {}
    sweep = sweep_record(
        study_id=name,
        name=name,
        sweep_file=f"name: {name}\n",
        searched=("loss", "d_steps", "weight_clip", "d_grad_clip", "d_lr"),
        updates=20,
        trials=len(trials),
        gpus_per_trial=0.5,
        params={"data.name": "ring", "budget.updates": 20, "prune.risk": 0.02},
    )
    recorder.start_sweep(sweep)
    for number in sorted(trials, reverse=True):
        settings, reports, outcome = trials[number]
        params = {**asdict(TrialConfig()), **settings}
        recorder.start_trial(
            TrialRecord(number=number, params=params, searched=settings, started=STARTED)
        )
        history = [signals_at(10 * (i + 1), **values) for i, values in enumerate(reports)]
        for signals in history:
            recorder.report(number, signals, Verdict(State.HEALTHY), STARTED + signals.update)
        if outcome is not None:
            ending = Ending(
                number=number,
                outcome=outcome,
                at=STARTED + 1_000,
                reason=f"because {outcome}",
                cause=Cause.EXCEPTION if outcome is Outcome.CRASHED else None,
                objective=history[-1].distance if history else None,
                history=history,
                stop=STOP if outcome is STOP.outcome else None,
                would_be=AUDIT if number == 3 else None,
                ended={0: "bad", 3: "healthy"}.get(number),
                wall_seconds=3_600.0,
            )
            recorder.end_trial(ending)
    if not trials:
        recorder.end_sweep({}, cancelled=False)
    recorder.close()


# --- images ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trained classifiers are shared by the tests, but not with whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def png(pixels: np.ndarray) -> bytes:
    """Of pixels [H, W] or [H, W, 3]."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def write_parquet(path: Path, pictures: list[bytes | None], **columns: list) -> None:
    """As on the Hub: `image: struct<bytes, path>`, and columns such as `label: int64`."""
    cells = [{"bytes": picture, "path": None} for picture in pictures]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    name = columns.pop("name", "image")
    pq.write_table(pa.table({name: pa.array(cells, kind)} | columns), path)


@pytest.fixture(scope="session")
def enlarged() -> tuple[np.ndarray, np.ndarray]:
    """1,797 real digits as uint8 [N, 28, 28], and their labels."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = (bunch.images * (255.0 / 16.0)).round().astype(np.uint8)
    large = [Image.fromarray(image).resize((28, 28), Image.Resampling.BICUBIC) for image in small]
    return np.stack([np.asarray(image) for image in large]), bunch.target


@pytest.fixture(scope="session")
def digit_files(enlarged, tmp_path_factory) -> Path:
    """A folder of 1,297 images to train on and 500 to test with, as the Hub names them."""
    images, labels = enlarged
    folder = tmp_path_factory.mktemp("digits28")
    for name, rows in (("train", slice(0, 1297)), ("test", slice(1297, None))):
        pictures = [png(image) for image in images[rows]]
        write_parquet(
            folder / f"{name}-00000-of-00001.parquet", pictures, label=labels[rows].tolist()
        )
    return folder


# --- servers --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres() -> Iterator["PostgresServer"]:
    """A PostgreSQL with a password; whoever stops it starts it again."""
    from tests.servers import PostgresServer

    # not under pytest's own folder, which only its user may enter
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def database(postgres: "PostgresServer") -> str:
    """The URL of an empty database, with the password in it."""
    return postgres.make_database(f"test_{uuid4().hex}")


def open_study(place: str) -> "Study":
    """The study that a URL or a path leads to, as each process opens it; made, if there is none.

    The URL may hold a password, which no sweep file may.
    """
    import optuna

    from ganray.spec.models import Storage
    from ganray.tuning.places import Place
    from ganray.tuning.storage import open_storage

    sweep = Place("ring", Storage.model_construct(study=place, results=None))
    storage = open_storage(sweep, create=True)
    return optuna.create_study(study_name="ring", storage=storage, load_if_exists=True)
