"""A real MLflow server on PostgreSQL is killed while a sweep tells it: nothing is lost or doubled.

The same sweep is told to a store that nothing disturbs, and both have the same in the end.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Run
from sqlalchemy import create_engine, text

from ganray.spec.models import SweepSpec
from ganray.summary import summarize
from ganray.tracking.mlflow_recorder import MlflowRecorder
from ganray.tracking.recorder import Evidence, TrialRecord
from ganray.trial import Ending, Outcome, State, TrialConfig, Verdict
from ganray.tuning.sync import sync_sweep
from tests.conftest import STARTED, small_spec, sweep_record
from tests.driving import DIES, drive, signals_of
from tests.servers import MlflowServer, PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.proof]

AWAY_SECONDS = 30.0
Row = tuple[int, int, float]  # step, ms since 1970, value


@pytest.fixture(scope="module")
def migrated(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database as MLflow makes it, which takes it half a minute."""
    folder = tmp_path_factory.mktemp("migrated")
    server = MlflowServer(folder, postgres.make_database("migrated"))
    server.start()
    server.kill()
    return "migrated"


@pytest.fixture
def server(tmp_path: Path, postgres: PostgresServer, migrated: str) -> Iterator[MlflowServer]:
    database = postgres.make_database(f"mlflow_{uuid4().hex}", like=migrated)
    server = MlflowServer(tmp_path, database)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def spec(tmp_path: Path, server: MlflowServer) -> SweepSpec:
    return small_spec(
        tmp_path,
        budget={"updates": 100, "reports": 5},
        confirm={"top": 1, "seeds": 2},
        tracking={"uri": server.uri},
    )


def runs(uri: str) -> tuple[Run, dict[int, Run]]:
    client = MlflowClient(uri)
    found = client.search_runs([client.get_experiment_by_name("ganray").experiment_id])
    (parent,) = [run for run in found if run.data.tags["ganray.kind"] == "sweep"]
    children = [run for run in found if run.data.tags["ganray.kind"] == "trial"]
    by_number = {int(run.data.tags["ganray.trial"]): run for run in children}
    assert len(by_number) == len(children), "one run for each trial"
    return parent, by_number


def rows(uri: str, database: str) -> dict[tuple[int | None, str], list[Row]]:
    """Every row of every metric, by trial and name; the times of the sweep's own left out."""
    parent, children = runs(uri)
    numbers: dict[str, int | None] = {run.info.run_id: n for n, run in children.items()}
    numbers[parent.info.run_id] = None
    engine = create_engine(database)
    query = text("SELECT run_uuid, key, step, timestamp, value FROM metrics")
    found: dict[tuple[int | None, str], list[Row]] = {}
    with engine.connect() as connection:
        for run_id, key, step, at, value in connection.execute(query):
            number = numbers[run_id]
            row = (step, 0 if number is None else at, value)
            found.setdefault((number, key), []).append(row)
    engine.dispose()
    return {key: sorted(each) for key, each in found.items()}


def statuses(uri: str) -> dict[int | None, tuple[str, int, int | None]]:
    parent, children = runs(uri)
    return {
        number: (run.info.status, run.info.start_time, run.info.end_time)
        for number, run in {None: parent, **children}.items()
    }


def play(
    spec: SweepSpec, undisturbed: str, at_report: Callable[[int, int], object], hurry: float
) -> MlflowRecorder:
    """Drive the sweep, told to its own store and to one that nothing disturbs."""
    stores = (spec.tracking.uri or "", undisturbed)
    disturbed, other = (MlflowRecorder(uri, "ganray") for uri in stores)

    def slowly(number: int, update: int) -> object:
        while (number, update) == (0, 20) and disturbed._waiting:
            time.sleep(0.05)  # loading MLflow takes longer than all of this sweep
        time.sleep(0.1)
        return at_report(number, update)

    drive(spec, [disturbed, other], slowly)
    other.close()
    if hurry:
        disturbed.hurry(hurry)
    disturbed.close()
    return disturbed


def files(uri: str) -> dict[int, list[str]]:
    """The kinds of all files of every trial, and of which update each picture is."""
    client, found = MlflowClient(uri), {}
    for number, run in runs(uri)[1].items():
        places = [f for at in (None, "images") for f in client.list_artifacts(run.info.run_id, at)]
        found[number] = sorted(place.path.partition("+timestamp")[0] for place in places)
    return found


def assert_same(server: MlflowServer, undisturbed: str) -> None:
    uri = server.uri
    assert files(uri) == files(undisturbed)
    assert files(uri)[0].count("images/samples+step+20") == 2  # with its thumbnail
    assert rows(uri, server.database) == rows(undisturbed, undisturbed)
    assert statuses(uri) == statuses(undisturbed)
    ours, theirs = (summarize("small", each).drop(columns="run_id") for each in (uri, undisturbed))
    assert ours.equals(theirs)


def test_server_that_is_killed_for_half_a_minute_has_all_of_the_sweep_at_its_end(
    spec: SweepSpec, server: MlflowServer, store: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def come_back() -> None:
        time.sleep(AWAY_SECONDS)
        server.start()

    back = threading.Thread(target=come_back)

    def kill(number: int, update: int) -> None:
        if (number, update) == (1, 60):
            server.kill()
            back.start()

    recorder = play(spec, store, kill, hurry=0.0)
    back.join()
    assert recorder.complete
    assert_same(server, store)
    synced = sync_sweep(spec)
    assert not [trial for trial in synced.trials if trial.wanted]
    assert_same(server, store)
    assert capfd.readouterr().out == ""  # which is for results


@pytest.mark.parametrize("at", [(0, 20), (1, 60), (3, 100), (4, 20)])
def test_server_that_is_killed_for_good_is_brought_the_rest_by_sync(
    at: tuple[int, int], spec: SweepSpec, server: MlflowServer, store: str
) -> None:
    def kill(*now: int) -> None:
        if now == at:
            server.kill()

    recorder = play(spec, store, kill, hurry=2.0)
    assert not recorder.complete
    server.start()
    sync_sweep(spec)
    assert_same(server, store)
    again = sync_sweep(spec)
    assert not [trial for trial in again.trials if trial.wanted]
    assert_same(server, store)


def test_driver_and_server_that_die_together_leave_nothing_running_after_sync(
    spec: SweepSpec, server: MlflowServer, store: str
) -> None:
    def kill(*now: int) -> object:
        if now == (2, 40):
            server.kill()
            return DIES
        return None

    play(spec, store, kill, hurry=0.1)
    server.start()
    for uri in (server.uri, store):
        sync_sweep(spec, uri)
    assert_same(server, store)
    parent, trials = runs(server.uri)
    assert {number: run.data.tags["ganray.outcome"] for number, run in trials.items()} == {
        0: "completed",
        1: "completed",
        2: "cancelled",
    }
    assert {run.info.status for run in (parent, *trials.values())} == {"FINISHED", "KILLED"}
    assert len(rows(server.uri, server.database)[2, "distance"]) == 2


def test_server_keeps_one_row_of_a_value_that_is_sent_again(server: MlflowServer) -> None:
    client = MlflowClient(server.uri)
    run_id = client.create_run("0").info.run_id
    first = [Metric("distance", 1.0 / step, STARTED + step, step) for step in range(1, 301)]
    more = [Metric("distance", 1.0 / step, STARTED + step, step) for step in range(200, 401)]
    for batch in (first, first, more, more[::-1]):
        client.log_batch(run_id, metrics=batch)
    history = client.get_metric_history(run_id, "distance")
    assert sorted((m.step, m.timestamp, m.value) for m in history) == [
        (step, STARTED + step, 1.0 / step) for step in range(1, 401)
    ]
    assert client.get_run(run_id).data.metrics == {"distance": 1.0 / 400}


def test_trials_that_stand_there_are_seen_within_seconds(server: MlflowServer) -> None:
    count, sweep = 200, sweep_record(name="small", trials=200)
    recorder = MlflowRecorder(server.uri, "ganray")
    recorder.start_sweep(sweep)
    for number in range(count):
        signals = signals_of(number, 100)
        params = asdict(TrialConfig(seed=number))
        recorder.start_trial(
            TrialRecord(number=number, params=params, searched={}, started=STARTED)
        )
        recorder.report(number, signals, Verdict(State.HEALTHY), STARTED)
        recorder.end_trial(
            Ending(number=number, outcome=Outcome.COMPLETED, at=STARTED, history=[signals])
        )
        recorder.evidence(number, Evidence(pictures={}))
    recorder.close()
    again = MlflowRecorder(server.uri, "ganray")
    start = time.monotonic()
    again.start_sweep(sweep)
    assert not [n for n in range(count) if again.wants(n, Outcome.COMPLETED)]
    assert time.monotonic() - start < 10.0
    again.close()
