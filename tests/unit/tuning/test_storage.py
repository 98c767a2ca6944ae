"""Where a study is opened, as Optuna would, and what is told when it cannot be."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage, _CachedStorage
from sqlalchemy import make_url

from ganray.errors import ResourceError
from ganray.spec.models import Storage
from ganray.tuning import storage
from ganray.tuning.behind_storage import BehindStorage
from ganray.tuning.journal import JournalFile
from ganray.tuning.patience import PATIENCE
from ganray.tuning.patient_storage import PatientStorage
from ganray.tuning.places import Place
from ganray.tuning.storage import open_storage
from tests.conftest import small_spec
from tests.servers import PASSWORD, PostgresServer


def at(place: str, folder: Path) -> Place:
    """A sweep whose study is there, by a URL that may hold a password: no sweep file would."""
    return Place("small", Storage.model_construct(study=place, results=str(folder / "results")))


def test_new_journal_gets_its_folder(here: Path) -> None:
    spec = small_spec(here, storage={"study": "a/b"})
    open_storage(spec, create=True)
    assert (here / "a/b").is_dir()


def test_journal_that_is_not_there_is_not_made_by_reading(here: Path) -> None:
    spec = small_spec(here, storage={"study": "a/b"})
    with pytest.raises(FileNotFoundError, match=r"a/b/small\.journal"):
        open_storage(spec, create=False)
    assert list(here.iterdir()) == []
    (here / "a/b").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"a/b/small\.journal"):
        open_storage(spec, create=False)
    assert list((here / "a/b").iterdir()) == []


def test_journal_is_one_that_outlives_its_writers(here: Path) -> None:
    found = open_storage(at("a", here), create=True)
    assert isinstance(found, PatientStorage)
    assert isinstance(found._storage, JournalStorage)
    assert isinstance(found._storage._backend, JournalFile)
    assert found._patience._seconds == PATIENCE
    assert open_storage(at("a", here), create=False, patience=7.0)._patience._seconds == 7.0


def test_database_has_the_cache_that_optuna_gives_it(here: Path) -> None:
    found = open_storage(at("sqlite:///study.db", here), create=True)
    assert isinstance(found, BehindStorage)
    assert isinstance(found._written._storage, _CachedStorage)
    study = optuna.create_study(storage=found)
    assert study._storage is found


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///study.db", {}),
        ("mysql+pymysql://host/db", {"pool_pre_ping": True, "connect_args": {}}),
        (
            "postgresql://host/db",
            {"pool_pre_ping": True, "connect_args": storage._LIBPQ_TIMEOUTS},
        ),
        (
            "postgresql+psycopg2://host/db?connect_timeout=3&keepalives_idle=1&tcp_user_timeout=1",
            {
                "pool_pre_ping": True,
                "connect_args": {"keepalives_interval": 5, "keepalives_count": 3},
            },
        ),
    ],
)
def test_server_is_asked_whether_it_is_there_and_a_file_is_not(url: str, expected: dict) -> None:
    assert storage._engine_settings(make_url(url)) == expected


def test_driver_of_postgresql_is_the_one_that_is_installed() -> None:
    assert make_url("postgresql://host/db").get_driver_name() == "psycopg"


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("foo://me:secret@host/db", "foo://***@host/db cannot be opened: Can't load plugin"),
        ("://me:secret@bar", "://***@bar cannot be opened: Could not parse"),
        ("sqlite:////no/such/folder/x.db", "x.db cannot be opened: unable to open database file"),
        ("postgresql://me:secret@127.0.0.1:1/db", "127.0.0.1:1/db cannot be opened: connection fa"),
        ("postgresql://no.such.host.invalid/db", "invalid/db cannot be opened: failed to resolve"),
        ("oracle://me:secret@host/db", "the study's database needs a driver"),
        ("/proc/none", "/proc/none/small.journal cannot be opened: [Errno 2] No such file"),
        ("/dev/null/x.journal", "/dev/null/x.journal cannot be opened: [Errno 17] File exists"),
    ],
)
def test_storage_that_cannot_be_opened_is_told_at_once_without_its_password(
    place: str, told: str, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    began = time.monotonic()
    with pytest.raises(ResourceError) as error:
        open_storage(at(place, here), create=True)
    assert time.monotonic() - began < 5.0
    assert told in str(error.value)
    assert "secret" not in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert caplog.messages == []


def test_folder_that_nobody_may_write_in_is_told(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(ResourceError, match=r"small\.journal cannot be opened: .*Permission den"):
        open_storage(at("a", here), create=True)


# --- PostgreSQL -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["url", "environment", "file"])
def test_password_comes_from_where_libpq_looks_for_it(
    way: str, database: str, postgres: PostgresServer, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_url(database)
    plain = database if way == "url" else f"postgresql://127.0.0.1:{url.port}/{url.database}"
    if way != "url":
        monkeypatch.setenv("PGUSER", postgres.user)
    if way == "environment":
        monkeypatch.setenv("PGPASSWORD", PASSWORD)
    if way == "file":
        secret = here / "pgpass"
        secret.write_text(f"127.0.0.1:*:*:{postgres.user}:{PASSWORD}\n")
        secret.chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(secret))
    found = open_storage(at(plain, here), create=True)
    study = optuna.create_study(storage=found, study_name="a")
    study.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=2)
    again = optuna.load_study(study_name="a", storage=open_storage(at(plain, here), create=False))
    assert again.trials == study.trials
    assert len(again.trials) == 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"password": "planted"}, "password authentication failed"),
        ({"database": "none"}, 'database "none" does not exist'),
    ],
)
def test_database_that_refuses_us_is_told_without_the_password(
    change: dict, told: str, database: str, here: Path
) -> None:
    place = make_url(database).set(**change).render_as_string(hide_password=False)
    with pytest.raises(ResourceError, match=told) as error:
        open_storage(at(place, here), create=True)
    assert PASSWORD not in str(error.value)
    assert "planted" not in str(error.value)


def test_database_that_is_away_may_be_waited_for(
    database: str, postgres: PostgresServer, here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    postgres.stop()
    try:
        with pytest.raises(ResourceError, match=r"failed for \d s: .* refused"):
            open_storage(at(database, here), create=True, opening=0.3)
        caplog.clear()
        threading.Timer(0.5, postgres.start).start()
        open_storage(at(database, here), create=True, opening=30.0)
    finally:
        time.sleep(0.5)
        postgres.restart()
    assert [message.split(":")[0].split(",")[0] for message in caplog.messages] == [
        "the study's storage fails",
        "the study's storage works again",
    ]
    assert PASSWORD not in caplog.text


OPEN = """
import sys
from ganray.tuning.storage import _open_database
print("ready", flush=True)
sys.stdin.readline()
_open_database(sys.argv[1]).get_all_studies()
"""


@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_processes_may_make_the_tables_of_one_database_at_the_same_time(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    url = request.getfixturevalue("database") if kind == "postgresql" else url
    command = [sys.executable, "-c", OPEN, url]
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(4)
    ]
    for each in started:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in started:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    for each in started:
        _, told = each.communicate(timeout=60)
        assert (each.returncode, told) == (0, "")
