"""The client against a cluster that pretends: what it asks, what it makes of the answers."""

import io
import json
import socket
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ganray.client import follow, sweeps
from ganray.client.sweeps import Submission, SweepClient
from ganray.errors import (
    AddressError,
    ClusterError,
    NameTakenError,
    SpecError,
    SweepRunningError,
    TokenError,
    UnknownSweepError,
    VersionError,
)
from ganray.spec.job import REQUEST_FILE, JobFile
from tests.cluster import free_ports
from tests.conftest import small_spec
from tests.fake_cluster import FakeCluster

ROOT = Path("/shared")
FILE = "ganray-small.json"
LOG = "job-driver-ganray-small-1.log"
TOLD: dict[str, Any] = {
    "name": "small",
    "attempt": 1,
    "state": "running",
    "message": "",
    "trials": {"total": 4, "ended": 1, "running": 1, "outcomes": {"completed": 1}},
    "objective": {"metric": "distance", "mode": "min"},
    "best": {"number": 0, "objective": 0.5, "settings": {"loss": "hinge"}},
    "running": [{"number": 1, "update": 50}],
    "budget": {"trials": {"used": 1, "left": 3}},
    "eta_seconds": 12.0,
    "updated": 1_795_341_010.0,
    "tracking_uri": "sqlite:////shared/mlflow.db",
}


def tell(cluster: FakeCluster, **changes: Any) -> None:
    cluster.files[FILE] = json.dumps({**TOLD, **changes}).encode()


# --- submit ---------------------------------------------------------------------------------------


def test_submitted_sweep_is_a_job_with_its_package(
    client: SweepClient, cluster: FakeCluster
) -> None:
    spec = small_spec(ROOT)
    assert client.submit(spec) == Submission("small", "running", is_new=True)
    request = client.request(spec)
    assert cluster.packages == {request.package_name: request.package()}
    job = cluster.jobs["ganray-small-1"]
    assert (job["entrypoint"], job["metadata"]) == (request.entrypoint, request.metadata)


def test_same_sweep_again_sends_nothing(client: SweepClient, cluster: FakeCluster) -> None:
    client.submit(small_spec(ROOT))
    tell(cluster)
    before = len(cluster.requests)
    assert client.submit(small_spec(ROOT)) == Submission("small", "running", is_new=False)
    assert {method for method, _ in cluster.requests[before:]} == {"GET"}


def test_other_sweep_of_the_same_name_is_refused(client: SweepClient) -> None:
    client.submit(small_spec(ROOT))
    with pytest.raises(NameTakenError, match=r"another sweep named 'small'.*--name"):
        client.submit(small_spec(ROOT, search={"trials": 5}))


@pytest.mark.parametrize(("status", "state"), [("STOPPED", "stopped"), ("FAILED", "failed")])
def test_ended_sweep_is_not_begun_again_but_pointed_to_resume(
    client: SweepClient, cluster: FakeCluster, status: str, state: str
) -> None:
    client.submit(small_spec(ROOT))
    tell(cluster)
    cluster.end(status)
    with pytest.raises(NameTakenError, match=f"is {state}; continue it with: ganray resume small"):
        client.submit(small_spec(ROOT))


def test_finished_sweep_is_told_to_be_finished(client: SweepClient, cluster: FakeCluster) -> None:
    client.submit(small_spec(ROOT))
    tell(cluster)
    cluster.end("SUCCEEDED")
    assert client.submit(small_spec(ROOT)) == Submission("small", "finished", is_new=False)


def test_attempt_that_failed_before_the_sweep_began_is_repeated(
    client: SweepClient, cluster: FakeCluster
) -> None:
    client.submit(small_spec(ROOT))
    cluster.end("FAILED", "ganray: tracking.uri: is not given")
    again = small_spec(ROOT, tracking={"uri": "http://localhost:5000"})
    assert client.submit(again).is_new
    assert set(cluster.jobs) == {"ganray-small-1", "ganray-small-2"}


@pytest.mark.parametrize("trials", [4, 5], ids=["same file", "other file"])
@pytest.mark.parametrize("loss", ["node", "content"])
def test_what_an_attempt_came_to_is_not_guessed_where_it_cannot_be_read(
    client: SweepClient, cluster: FakeCluster, loss: str, trials: int
) -> None:
    client.submit(small_spec(ROOT))
    tell(cluster)
    if loss == "content":
        cluster.files[FILE] = cluster.files[FILE][:20]
    cluster.node_gone = loss == "node"
    cluster.end("FAILED")
    with pytest.raises(
        ClusterError, match=r"has failed, and what .* cannot be read now; try again"
    ):
        client.submit(small_spec(ROOT, search={"trials": trials}))
    assert set(cluster.jobs) == {"ganray-small-1"}


@pytest.mark.parametrize("has_begun", [True, False])
def test_what_an_attempt_came_to_is_waited_for_where_its_node_does_not_answer_at_once(
    cluster: FakeCluster, has_begun: bool
) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        cluster.node_gone = len(pauses) < 3

    client = SweepClient(cluster.address, pause=pause)
    client.submit(small_spec(ROOT))
    if has_begun:
        tell(cluster)
    cluster.end("FAILED")
    cluster.node_gone = True
    if has_begun:
        with pytest.raises(NameTakenError, match="continue it with: ganray resume small"):
            client.submit(small_spec(ROOT))
    else:
        assert client.submit(small_spec(ROOT)).is_new
    assert len(pauses) >= 3


def test_running_sweep_is_told_to_run_though_nothing_of_it_can_be_read(
    client: SweepClient, cluster: FakeCluster
) -> None:
    client.submit(small_spec(ROOT))
    cluster.node_gone = True
    assert client.submit(small_spec(ROOT)) == Submission("small", "running", is_new=False)


def test_attempt_that_never_started_hides_no_earlier_one_that_began(
    client: SweepClient, cluster: FakeCluster
) -> None:
    client.submit(small_spec(ROOT))
    tell(cluster)
    cluster.end("FAILED")
    cluster.starts_as = "PENDING"
    client.resume("small", wait_pending=0)
    cluster.end("FAILED", "the environment cannot be set up")
    with pytest.raises(NameTakenError, match="continue it with: ganray resume small"):
        client.submit(small_spec(ROOT))
    assert set(cluster.jobs) == {"ganray-small-1", "ganray-small-2"}


def test_two_at_once_make_one_sweep(client: SweepClient, cluster: FakeCluster) -> None:
    spec, results = small_spec(ROOT), []
    submitting = [
        threading.Thread(target=lambda: results.append(client.submit(spec))) for _ in range(4)
    ]
    for thread in submitting:
        thread.start()
    for thread in submitting:
        thread.join()
    assert [found.state for found in results] == ["running"] * 4
    assert set(cluster.jobs) == {"ganray-small-1"}


def test_slower_of_two_with_different_files_is_refused(
    client: SweepClient, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.submit(small_spec(ROOT))
    monkeypatch.setattr(client, "_attempts", dict)  # it came between look and send
    with pytest.raises(NameTakenError):
        client.submit(small_spec(ROOT, search={"trials": 5}))


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("path", ["/api/version", "/api/packages", "/api/jobs/"])
def test_connection_that_drops_while_submitting_is_tried_again(
    client: SweepClient, cluster: FakeCluster, path: str, heard: bool
) -> None:
    client.list()  # reached before
    cluster.drops[path] = [heard, heard]
    assert client.submit(small_spec(ROOT)).state == "running"
    assert set(cluster.jobs) == {"ganray-small-1"}


@pytest.mark.parametrize("path", ["/api/version", "/api/packages", "/api/jobs/"])
def test_answer_that_breaks_off_within_its_headers_is_asked_for_again(
    client: SweepClient, cluster: FakeCluster, path: str
) -> None:
    cluster.torn = [path, path]
    assert client.submit(small_spec(ROOT)).state == "running"
    assert set(cluster.jobs) == {"ganray-small-1"}
    assert cluster.torn == []


def test_log_that_breaks_off_within_its_headers_is_not_taken_for_an_empty_one(
    client: SweepClient, cluster: FakeCluster
) -> None:
    client.submit(small_spec(ROOT))
    cluster.files[LOG] = b"first\nlast words\n"
    cluster.end("SUCCEEDED")
    cluster.torn = ["/api/v0/logs/file"]
    assert b"".join(client.logs("small", follow=True)) == b"first\nlast words\n"


def test_cluster_that_goes_away_is_told_after_a_while(
    client: SweepClient, cluster: FakeCluster
) -> None:
    client.list()
    cluster.drops["/"] = [False] * 10_000
    with pytest.raises(ClusterError, match="went away"):
        client.submit(small_spec(ROOT))


def test_other_version_of_ray_is_refused_before_anything_is_sent(
    client: SweepClient, cluster: FakeCluster
) -> None:
    cluster.ray_version = "2.9.0"
    with pytest.raises(VersionError, match=r"runs Ray 2\.9\.0, this client has 2\."):
        client.submit(small_spec(ROOT))
    assert cluster.packages == cluster.jobs == {}


def test_job_that_stays_pending_is_stopped_and_told(
    client: SweepClient, cluster: FakeCluster
) -> None:
    cluster.starts_as = "PENDING"
    with pytest.raises(ClusterError, match=r"'small' was pending for 0\.05 seconds"):
        client.submit(small_spec(ROOT), wait_pending=0.05)
    assert cluster.jobs["ganray-small-1"]["status"] == "STOPPED"


def test_submitting_may_not_wait_for_the_driver(client: SweepClient, cluster: FakeCluster) -> None:
    cluster.starts_as = "PENDING"
    assert client.submit(small_spec(ROOT), wait_pending=0).state == "pending"


def test_job_that_fails_at_once_is_told(client: SweepClient, cluster: FakeCluster) -> None:
    cluster.starts_as = "FAILED"
    with pytest.raises(ClusterError, match="'small' failed at once"):
        client.submit(small_spec(ROOT))


def test_other_machines_cluster_without_token_is_refused_before_it_is_asked() -> None:
    with pytest.raises(AddressError, match=r"refused to submit to http://192\.0\.2\.1:8265"):
        SweepClient("192.0.2.1").submit(small_spec(ROOT))


@pytest.mark.parametrize(
    ("address", "token", "overheard"),
    [
        ("http://192.0.2.1:8265", "t", True),
        ("https://192.0.2.1:8265", "t", False),
        ("http://127.0.0.1:8265", "t", False),
        ("http://192.0.2.1:8265", "", False),
    ],
)
def test_token_in_plain_text_over_a_network_is_known(
    monkeypatch: pytest.MonkeyPatch, address: str, token: str, overheard: bool
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    assert SweepClient(address).is_overheard is overheard


@pytest.mark.parametrize("named", [True, False])
def test_token_goes_only_to_an_address_that_somebody_named(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "hunter22")
    monkeypatch.setattr(sweeps, "DEFAULT_ADDRESS", cluster.address)
    if named:
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    assert SweepClient().list() == []
    assert ("Authorization" in cluster.headers[-1]) is named


def test_cluster_that_nobody_named_and_that_asks_for_the_token_is_to_be_named(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.token = "right"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "right")
    monkeypatch.setattr(sweeps, "DEFAULT_ADDRESS", cluster.address)
    with pytest.raises(TokenError, match=r"name the cluster with --address or RAY_ADDRESS"):
        SweepClient().submit(small_spec(ROOT))


# --- asking ---------------------------------------------------------------------------------------


def test_nobody_there_is_told_at_once() -> None:
    client = SweepClient(f"http://127.0.0.1:{free_ports(1)[0]}")
    began = time.monotonic()
    with pytest.raises(ClusterError, match="cannot be reached: Connection refused"):
        client.list()
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize(
    ("token", "message"),
    [(None, "asks for a token: set RAY_AUTH_TOKEN"), ("hunter22", "refuses the token")],
)
def test_wrong_token_is_told_and_not_shown(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, token: str | None, message: str
) -> None:
    cluster.token = "right"
    if token is not None:
        monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    with pytest.raises(TokenError, match=message) as error:
        SweepClient(cluster.address).list()
    assert "hunter22" not in str(error.value)


def test_right_token_is_sent_in_a_header(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.token = "right"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "right")
    assert SweepClient(cluster.address).list() == []
    assert cluster.headers[-1]["Authorization"] == "Bearer right"


def test_other_program_there_is_told(client: SweepClient, cluster: FakeCluster) -> None:
    other = SweepClient(f"{cluster.address}/elsewhere")
    with pytest.raises(ClusterError, match="is no Ray dashboard"):
        other.list()


@pytest.mark.parametrize(
    "said",
    [
        "SSH-2.0-OpenSSH\r\n",
        'HTTP/1.1 404 Not Found\r\nContent-Length: 22\r\n\r\n{"detail":"Not Found"}',
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ids=["no HTTP", "another program", "another value"],
)
def test_what_is_no_dashboard_is_told_at_once(client: SweepClient, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        other = SweepClient(f"http://127.0.0.1:{server.getsockname()[1]}")

        def answer() -> None:
            connection = server.accept()[0]
            connection.recv(1_000)
            connection.sendall(said.encode())
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ClusterError, match="is no Ray dashboard"):
            other.list()
        thread.join()


def test_status_is_put_together_from_job_driver_and_cluster(
    client: SweepClient, cluster: FakeCluster
) -> None:
    client.submit(small_spec(ROOT))
    tell(cluster)
    status = client.status("small")
    assert (status.state, status.attempt, status.message) == ("running", 1, "")
    assert status.trials == TOLD["trials"]
    assert status.best == TOLD["best"]
    assert status.running == TOLD["running"]
    assert status.eta_seconds == 12.0
    assert status.cluster == {"nodes": 1, "cpus": 2.0, "gpus": 1.0}
    assert json.loads(json.dumps(status.to_dict()))["updated"].startswith("2026-")


def test_sweep_waits_only_while_its_own_driver_says_so(
    client: SweepClient, cluster: FakeCluster
) -> None:
    client.submit(small_spec(ROOT))
    tell(cluster)
    assert client.status("small").waiting is False
    tell(cluster, waiting=True)
    assert client.status("small").waiting is True
    cluster.end("STOPPED")
    assert client.status("small").waiting is False
    client.resume("small")
    assert client.status("small").waiting is False  # the earlier attempt did


def test_status_before_the_driver_says_anything(client: SweepClient, cluster: FakeCluster) -> None:
    cluster.starts_as = "PENDING"
    client.submit(small_spec(ROOT), wait_pending=0)
    status = client.status("small")
    assert (status.state, status.trials, status.best) == ("pending", None, None)


def test_killed_driver_is_failed_with_the_last_known_numbers(
    client: SweepClient, cluster: FakeCluster
) -> None:
    client.submit(small_spec(ROOT))
    tell(cluster)
    cluster.end(
        "FAILED",
        "Job entrypoint command failed with exit code -9, last available logs (truncated to "
        "20,000 chars):\n[x] trial 1 starts: loss=hinge\n[x] trial 1 10% healthy\n",
    )
    status = client.status("small")
    assert status.state == "failed"
    assert status.message.startswith("Job entrypoint command failed with exit code -9; its log")
    assert status.trials == TOLD["trials"]
    assert status.eta_seconds is None


def test_sweep_whose_hours_are_over_is_stopped_not_failed(
    client: SweepClient, cluster: FakeCluster
) -> None:
    client.submit(small_spec(ROOT))
    tell(cluster, state="stopped", message="the sweep's hours are over")
    cluster.end("FAILED", "Job entrypoint command failed with exit code 1, …")
    status = client.status("small")
    assert (status.state, status.message) == ("stopped", "the sweep's hours are over")


def test_words_of_others_tell_a_terminal_nothing(client: SweepClient, cluster: FakeCluster) -> None:
    client.submit(small_spec(ROOT))
    cluster.end("FAILED", "… exit code 1, …:\n\x1b[36m(pid=1)\x1b[0m no\tmemory\x1b]0;mine\x07\r\n")
    assert client.status("small").message.endswith("its log ends with: (pid=1) no\tmemory]0;mine")
    tell(cluster, state="failed", message="\x1b[2Jall crashed")
    assert client.status("small").message == "all crashed"


def test_drivers_own_words_tell_why_it_failed(client: SweepClient, cluster: FakeCluster) -> None:
    client.submit(small_spec(ROOT))
    cluster.end("FAILED", "… exit code 2, …:\nnote: x\nganray: versions do not agree: ray 1\n")
    assert client.status("small").message == "versions do not agree: ray 1"


def test_status_file_that_is_cut_off_is_as_none(client: SweepClient, cluster: FakeCluster) -> None:
    client.submit(small_spec(ROOT))
    cluster.files[FILE] = b'{"name": "sma'
    assert client.status("small").trials is None


def test_list_has_the_newest_attempt_of_each_sweep(
    client: SweepClient, cluster: FakeCluster
) -> None:
    client.submit(small_spec(ROOT, name="b"))
    client.submit(small_spec(ROOT))
    tell(cluster)
    cluster.end("STOPPED")
    client.resume("small")
    other = {"submission_id": "raysubmit_x", "metadata": {}, "runtime_env": {}, "entrypoint": "ls"}
    cluster.add_job(other, "RUNNING")
    found = client.list()
    assert [(s.name, s.state, s.attempt) for s in found] == [
        ("b", "stopped", 1),
        ("small", "running", 2),
    ]
    assert found[1].eta_seconds is None  # the earlier attempt's


def test_unknown_sweep_is_told(client: SweepClient) -> None:
    with pytest.raises(UnknownSweepError, match="no sweep named 'nope' was submitted to http"):
        client.status("nope")


@pytest.mark.parametrize("name", ["../small", "a'b", "", "a b", "x" * 101, "small\n"])
def test_what_is_no_name_is_refused_before_anything_is_asked(
    client: SweepClient, cluster: FakeCluster, name: str
) -> None:
    for ask in (client.status, client.stop, client.logs, client.resume):
        with pytest.raises(SpecError, match="the name of a sweep has at most 100"):
            ask(name)
    assert cluster.requests == []


# --- stop and resume ------------------------------------------------------------------------------


def test_stop_waits_for_the_end_and_may_be_repeated(
    client: SweepClient, cluster: FakeCluster
) -> None:
    client.submit(small_spec(ROOT))
    tell(cluster)
    assert client.stop("small").state == "stopped"
    asked = [path for _, path in cluster.requests if path.endswith("/stop")]
    assert client.stop("small").state == "stopped"
    assert [path for _, path in cluster.requests if path.endswith("/stop")] == asked


def test_driver_that_does_not_stop_is_told(client: SweepClient, cluster: FakeCluster) -> None:
    cluster.stops_as = None
    client.submit(small_spec(ROOT))
    with pytest.raises(ClusterError, match=r"asked to stop, but runs after 0\.05 seconds"):
        client.stop("small", wait=0.05)


@pytest.mark.parametrize("heard", [True, False])
def test_connection_that_drops_while_stopping_is_tried_again(
    client: SweepClient, cluster: FakeCluster, heard: bool
) -> None:
    client.submit(small_spec(ROOT))
    cluster.drops["/stop"] = [heard]
    assert client.stop("small").state == "stopped"


def test_resumed_sweep_is_the_next_attempt_and_knows_where_its_study_is(
    client: SweepClient, cluster: FakeCluster
) -> None:
    places = {"study": "postgresql://ganray@db/x", "results": "s3://bucket"}
    client.submit(small_spec(ROOT, storage=places))
    tell(cluster)
    cluster.end("STOPPED")
    client.resume("small", settings=["search.trials=9"])
    first = client.request(small_spec(ROOT, storage=places)).package_name
    (name,) = cluster.packages.keys() - {first}
    job = _request_in(cluster.packages[name])
    assert (job.attempt, job.sweep, job.settings) == (2, None, ("search.trials=9",))
    assert job.place.model_dump() == places
    # and the sweep is still the one that was submitted
    assert not client.submit(small_spec(ROOT, storage=places)).is_new


@pytest.mark.parametrize("settings", [["search.trials=9"], ["search.trials=8"], []])
def test_slower_of_two_resumes_is_told_if_its_settings_are_not_those_that_run(
    client: SweepClient,
    cluster: FakeCluster,
    settings: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client.submit(small_spec(ROOT))
    cluster.end("STOPPED")
    before = client._attempts()
    client.resume("small", settings=["search.trials=9"])
    monkeypatch.setattr(client, "_attempts", lambda: before)  # it came between look and send
    if settings == ["search.trials=9"]:
        assert client.resume("small", settings=settings).state == "running"
    else:
        with pytest.raises(SweepRunningError, match="at the same moment with other settings"):
            client.resume("small", settings=settings)


def test_running_sweep_is_not_resumed(client: SweepClient) -> None:
    client.submit(small_spec(ROOT))
    with pytest.raises(SweepRunningError, match="ganray stop small"):
        client.resume("small")


def test_sweep_of_another_cluster_is_resumed_from_its_study(
    client: SweepClient, cluster: FakeCluster
) -> None:
    client.resume("small", storage={"study": "postgresql://ganray@db/x"})
    (package,) = cluster.packages.values()
    job = _request_in(package)
    assert (job.attempt, job.place.study) == (1, "postgresql://ganray@db/x")


def test_sweep_that_nobody_knows_is_not_resumed(client: SweepClient, cluster: FakeCluster) -> None:
    with pytest.raises(UnknownSweepError, match="say with --storage where its study is"):
        client.resume("small")
    assert cluster.jobs == {}


def test_sweep_with_code_is_not_resumed_without(
    client: SweepClient, cluster: FakeCluster, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text("x = 1")
    client.submit(small_spec(ROOT), code=tmp_path)
    cluster.end("STOPPED")
    with pytest.raises(SpecError, match="give that folder again"):
        client.resume("small")
    assert client.resume("small", code=tmp_path).is_new


def _request_in(package: bytes) -> JobFile:
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        return JobFile.from_json(archive.read(REQUEST_FILE).decode())


# --- logs -----------------------------------------------------------------------------------------


def test_log_is_printed_as_it_is(client: SweepClient, cluster: FakeCluster) -> None:
    client.submit(small_spec(ROOT))
    cluster.files[LOG] = "äöü\n".encode() * 1_000
    assert b"".join(client.logs("small")) == cluster.files[LOG]


def test_job_without_a_log_tells_why(client: SweepClient, cluster: FakeCluster) -> None:
    cluster.starts_as = "PENDING"
    client.submit(small_spec(ROOT), wait_pending=0)
    cluster.end("FAILED", "runtime_env setup failed")
    assert b"".join(client.logs("small")) == b"runtime_env setup failed\n"


@pytest.mark.parametrize("broken", [[], [3, 10, 11, 40, 0, 100]])
def test_followed_log_is_whole_and_has_no_line_twice(
    client: SweepClient,
    cluster: FakeCluster,
    broken: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(follow, "LOOK_SECONDS", 0.05)
    client.submit(small_spec(ROOT))
    cluster.files[LOG] = b"line 0\n"
    cluster.broken = broken

    def grow() -> None:
        for number in range(1, 40):
            cluster.files[LOG] += f"line {number}\n".encode()
            time.sleep(0.01)
        cluster.end("SUCCEEDED")

    writer = threading.Thread(target=grow)
    writer.start()
    seen = b"".join(client.logs("small", follow=True))
    writer.join()
    assert seen == b"".join(f"line {number}\n".encode() for number in range(40))


def test_last_words_are_read_when_the_connection_was_lost_before_them(
    client: SweepClient, cluster: FakeCluster
) -> None:
    client.submit(small_spec(ROOT))
    cluster.files[LOG] = b"first\nlast words\n"
    cluster.broken = [8]
    pieces = client.logs("small", follow=True)
    assert next(pieces) == b"first\nla"
    cluster.end("FAILED")
    assert b"".join(pieces) == b"st words\n"


def test_followed_log_of_a_cluster_that_goes_away_is_an_error(
    client: SweepClient, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LOOK_SECONDS", 0.05)
    client.submit(small_spec(ROOT))
    cluster.files[LOG] = b"line\n"
    pieces = client.logs("small", follow=True)
    assert next(pieces) == b"line\n"
    cluster.drops["/"] = [False] * 10_000
    with pytest.raises(ClusterError, match="went away"):
        list(pieces)
