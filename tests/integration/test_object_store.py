"""Results in an object store, which may be away for a while."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import boto3
import pytest

from ganray.tuning.study import SweepStudy
from tests.agreement import disagreements, expectation
from tests.cluster import free_ports
from tests.faults import Sweep

pytestmark = [pytest.mark.slow, pytest.mark.proof]

KEYS = {"AWS_ACCESS_KEY_ID": "a-test", "AWS_SECRET_ACCESS_KEY": "a-test-key"}


class ObjectStore:
    """An S3 of its own, with a bucket `sweeps`."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "moto.server", "-p", str(self.port)]
        with (folder / "moto.log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        self._wait()
        self._client.create_bucket(Bucket="sweeps")

    def names(self) -> list[str]:
        """Of all objects, sorted."""
        found = self._client.list_objects_v2(Bucket="sweeps").get("Contents", [])
        return sorted(each["Key"] for each in found)

    @property
    def environment(self) -> dict[str, str]:
        """By which a program finds it."""
        return {**KEYS, "AWS_ENDPOINT_URL": self.url, "AWS_DEFAULT_REGION": "us-east-1"}

    @property
    def _client(self):
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                urlopen(self.url, timeout=2).close()
                return
            except (URLError, OSError):
                assert time.monotonic() < deadline, "the object store did not start"
                time.sleep(0.2)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    store = ObjectStore(tmp_path)
    yield store
    store.process.kill()
    store.process.wait()


def test_sweep_in_an_object_store_goes_on_from_there(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle, with the store suspended for a while before and after."""
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    here = Sweep(tmp_path / "here")
    here.run("run", str(here.file))
    storage = {"results": "s3://sweeps/results", "study": str(tmp_path / "study.journal")}
    there = Sweep(tmp_path / "there", storage=storage)
    try:
        driver = there.start()
        driver.wait_for_reports(6)
        store.process.send_signal(signal.SIGSTOP)
        time.sleep(8)
        store.process.send_signal(signal.SIGCONT)
        driver.wait_for_reports(25)
        driver.kill_all()
        there.run("resume", "fault", "--storage", str(tmp_path / "study.journal"))
    finally:
        there.close()
    assert disagreements(there.spec, expectation(here.spec)) == []
    trials = [name.partition("trials/")[2] for name in store.names() if "/trials/" in name]
    best = [name for name in trials if name.endswith("best.pt")]
    assert best == [f"{t.assignment.number:04d}/best.pt" for t in _trials(there)]


def _trials(sweep: Sweep) -> list:
    return list(SweepStudy.load(sweep.spec).recorded())
