"""What is sent to a cluster: one value, in which nothing that a user wrote is a command."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganray.client.request import (
    ATTEMPT,
    DIGEST,
    ENTRYPOINT,
    NAME,
    JobRequest,
    refuse_secrets,
    resume_request,
    start_request,
    submission_cautions,
    submission_problems,
)
from ganray.errors import SpecError
from ganray.spec.job import REQUEST_FILE, JobFile
from ganray.spec.models import SweepSpec
from tests.conftest import small_spec

VERSIONS = {"python": "3.11.4", "ganray": "0.1.0", "ray": "2.60.0"}
ROOT = Path("/shared")


def request(spec: SweepSpec | None = None, **more: Any) -> JobRequest:
    return start_request(spec or small_spec(ROOT), **{"versions": VERSIONS, **more})


def test_entry_point_is_always_the_same_command() -> None:
    assert request().entrypoint == ENTRYPOINT == "python -m ganray.job"


@given(
    description=st.text(max_size=30),
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True),
    experiment=st.text(min_size=1, max_size=20),
    file=st.sampled_from(["$(reboot).py", "a;b.py", "`id`.py", "-m.py", "x\ny.py", "'.py"]),
)
def test_no_text_of_a_user_becomes_shell(
    description: str, name: str, experiment: str, file: str
) -> None:
    spec = small_spec(ROOT, name=name, description=description, tracking={"experiment": experiment})
    body = request(spec, code={file: b"#!"}).body()
    assert body["entrypoint"] == ENTRYPOINT
    assert set(body) == {"entrypoint", "submission_id", "metadata", "runtime_env"}
    assert body["runtime_env"]["env_vars"] == request().body()["runtime_env"]["env_vars"]
    assert body["submission_id"] == f"ganray-{name}-1"


def test_a_hostile_setting_of_a_resume_is_data_too() -> None:
    job = JobFile(
        name="small", attempt=2, versions=VERSIONS, settings=('description="; rm -rf / #"',)
    )
    sent = resume_request(job, "5ad1", {})
    assert sent.entrypoint == ENTRYPOINT
    assert sent.submission_id == "ganray-small-2"
    assert JobFile.from_json(sent.files[REQUEST_FILE].decode()) == job


def test_the_job_reads_the_sweep_that_was_submitted() -> None:
    spec = small_spec(ROOT, description="Größe — 'ü'")
    job = JobFile.from_json(request(spec).files[REQUEST_FILE].decode())
    assert job.spec == spec
    assert (job.name, job.attempt, job.versions) == ("small", 1, VERSIONS)


def test_equal_submissions_are_equal_to_the_byte() -> None:
    one, other = request(code={"a.py": b"1"}), request(code={"a.py": b"1"})
    assert one.package() == other.package()
    assert one.to_json() == other.to_json()


def test_digest_tells_another_sweep_or_other_code_but_not_another_client() -> None:
    plain = request().digest
    assert request(versions={**VERSIONS, "torch": "9"}).digest == plain
    assert request(attempt=2).digest == plain
    others = {
        request(small_spec(ROOT, search={"trials": 5})).digest,
        request(code={"a.py": b"1"}).digest,
        request(code={"a.py": b"2"}).digest,
        request(code={"b.py": b"1"}).digest,
        request(code={}).digest,
    }
    assert len(others | {plain}) == 6


def test_package_holds_the_request_the_sweep_and_the_code() -> None:
    sent = request(code={"nets/mine.py": b"x = 1\n"})
    with zipfile.ZipFile(io.BytesIO(sent.package())) as archive:
        assert archive.namelist() == ["ganray-request.json", "ganray-sweep.yaml", "nets/mine.py"]
        assert archive.read("nets/mine.py") == b"x = 1\n"
        assert archive.getinfo("nets/mine.py").external_attr >> 16 == 0o644


def test_dry_run_shows_the_request_itself() -> None:
    sent = request(code={"mine.py": b"x = 1\n"})
    shown = json.loads(sent.to_json())
    files = shown.pop("files")
    assert shown == sent.body()
    assert files[REQUEST_FILE] == json.loads(sent.files[REQUEST_FILE])
    assert files["ganray-sweep.yaml"].startswith("budget:")
    assert files["mine.py"]["bytes"] == 6


def test_metadata_finds_the_sweep_again() -> None:
    metadata = request().metadata
    assert (metadata[NAME], metadata[ATTEMPT]) == ("small", "1")
    assert len(metadata[DIGEST]) == 64
    assert all(isinstance(value, str) for value in metadata.values())


def test_driver_is_stopped_as_by_ctrl_c_and_has_a_minute() -> None:
    variables = request().body()["runtime_env"]["env_vars"]
    assert variables == {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": "60"}


@pytest.mark.parametrize(
    ("parts", "where"),
    [
        ({"storage": {"results": "results"}}, "storage.results: 'results' is relative"),
        ({"storage": {"study": "study.journal"}}, "storage.study: 'study.journal' is relative"),
        (
            {"tracking": {"uri": "sqlite:///mlflow.db"}},
            "tracking.uri: 'sqlite:///mlflow.db' is relative",
        ),
    ],
)
def test_places_in_the_jobs_own_folder_are_refused(parts: dict[str, Any], where: str) -> None:
    with pytest.raises(SpecError, match=where):
        request(small_spec(ROOT, **parts))


VECTORS = {"name": "vectors", "path": "data/x.npy"}


def test_data_that_only_this_folder_has_are_refused() -> None:
    spec = small_spec(ROOT, data=VECTORS | {"labels": "/shared/labels.npy"})
    with pytest.raises(SpecError, match=r"data\.path: 'data/x\.npy' is relative") as error:
        request(spec, code={"data/other.npy": b""})
    assert len(error.value.problems) == 1


@pytest.mark.parametrize("path", ["data/x.npy", "./data/x.npy", "/shared/x.npy", "~/x.npy"])
def test_data_that_a_job_can_reach_are_taken(path: str) -> None:
    spec = small_spec(ROOT, data=VECTORS | {"path": path})
    assert request(spec, code={"data/x.npy": b""}).entrypoint == ENTRYPOINT


def test_folder_of_data_that_goes_with_the_code_is_taken() -> None:
    spec = small_spec(ROOT, data={"name": "images", "path": "data"})
    assert request(spec, code={"data/a/1.png": b""}).entrypoint == ENTRYPOINT


def test_code_that_goes_along_or_is_installed_is_not_left_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for package in ("mine", "numpy"):
        (tmp_path / package).mkdir()
    names = {"generator": "mine.nets:G", "discriminator": "numpy.linalg:norm"}
    spec = small_spec(ROOT, networks={"name": "custom", **names})
    (problem,) = submission_problems(spec, ["mine/other.py"])
    assert problem.startswith("networks.generator: mine.nets:G is in the folder here")
    for code in ("mine/nets.py", "mine/nets/__init__.py"):
        assert submission_problems(spec, [code]) == []
        (caution, _) = submission_cautions(spec, [code])
        assert caution.startswith("networks.discriminator: numpy.linalg:norm is none of the code")


def test_tracking_store_that_is_not_given_is_a_caution() -> None:
    assert submission_cautions(small_spec(ROOT, tracking={"uri": "http://localhost:5000"})) == []
    (caution,) = submission_cautions(small_spec(ROOT, tracking={"uri": None}))
    assert caution.startswith("tracking.uri: is not given, and yours is not sent")


@pytest.mark.parametrize(
    "parts",
    [
        {"storage": {"results": "s3://bucket/x", "study": "postgresql://ganray@db/ganray"}},
        {"storage": {"results": "~/results"}, "tracking": {"uri": "sqlite:////srv/mlflow.db"}},
        {"tracking": {"uri": "http://localhost:5000"}},
    ],
)
def test_places_that_last_are_taken(parts: dict[str, Any]) -> None:
    assert request(small_spec(ROOT, **parts)).entrypoint == ENTRYPOINT


@pytest.mark.parametrize(
    "text",
    [
        "tracking.uri=http://me:hunter22@host",
        'tracking.uri="https://hunter22@host"',
        "storage.study=postgresql://u:hunter22@db/x",
        "storage.results=abfss://c@a.dfs.core.windows.net/x?sv=2020&sig=hunter22",
    ],
)
def test_secret_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(SpecError, match="holds a password") as error:
        refuse_secrets([text])
    assert "hunter22" not in str(error.value)
    assert "PGPASSWORD" in str(error.value)


def test_password_in_what_a_resume_is_told_is_refused() -> None:
    job = JobFile(name="small", attempt=2, versions=VERSIONS)
    places = {"storage": {"study": "postgresql://u:hunter22@db/x"}}
    with pytest.raises(SpecError, match="holds a password"):
        resume_request(job, "", places)
