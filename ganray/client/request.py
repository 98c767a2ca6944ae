"""What is asked of a cluster, as one value: `--dry-run` shows it and `submit` sends it."""

import hashlib
import io
import json
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import packages_distributions
from pathlib import Path, PurePosixPath
from typing import Any, Final

from ganray.errors import SpecError
from ganray.secrets import has_secret, redact
from ganray.spec.job import REQUEST_FILE, JobFile
from ganray.spec.load import dump_sweep
from ganray.spec.models import SweepSpec
from ganray.spec.networks import CustomNetworks

ENTRYPOINT: Final = "python -m ganray.job"  # the only command that a cluster is ever sent
SWEEP_FILE: Final = "ganray-sweep.yaml"  # for people; the job reads the request alone
STOP_SECONDS: Final = 60
ENV_VARS: Final = {
    "RAY_JOB_STOP_SIGNAL": "SIGINT",  # what the driver ends a sweep in order for
    "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS),  # before SIGKILL; Ray's default is 3
}
# of a job's metadata; texts all, seen by whoever has the cluster's token
NAME, ATTEMPT, DIGEST, ASKED, CODE, PLACES, VERSION = (
    f"ganray.{key}" for key in ("name", "attempt", "digest", "asked", "code", "places", "version")
)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file in a package, so that equal content is equal


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """A job that drives a sweep.

    Attributes:
        submission_id: decides which of two equal submissions comes first: a cluster takes an
            identity once.
        files: of the job's working folder, by path.
        metadata: by which the client finds the sweep again.
    """

    submission_id: str
    files: Mapping[str, bytes]
    metadata: Mapping[str, str]
    env_vars: Mapping[str, str] = field(default_factory=lambda: dict(ENV_VARS))
    entrypoint: str = ENTRYPOINT

    def package(self) -> bytes:
        """The working folder as a zip file: the same bytes for the same files."""
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(self.files):
                entry = zipfile.ZipInfo(name, _EPOCH)
                entry.external_attr = 0o644 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, self.files[name])
        return out.getvalue()

    @property
    def digest(self) -> str:
        """Of the sweep and the user's code as first submitted: equal for what is one sweep."""
        return self.metadata[DIGEST]

    @property
    def asked(self) -> str:
        """Digest of what the job is to do: of two resumes with other settings it differs."""
        return self.metadata[ASKED]

    @property
    def package_name(self) -> str:
        """Such as `_ray_pkg_5f….zip`: what its content decides."""
        return f"_ray_pkg_{hashlib.sha256(self.package()).hexdigest()[:32]}.zip"

    def body(self) -> dict[str, Any]:
        """As it is posted to the cluster, after the package was put there."""
        return {
            "entrypoint": self.entrypoint,
            "submission_id": self.submission_id,
            "metadata": dict(self.metadata),
            "runtime_env": {
                "working_dir": f"gcs://{self.package_name}",
                "env_vars": dict(self.env_vars),
            },
        }

    def to_json(self) -> str:
        """The request and, beside it, the files of its working folder, for people to read."""
        own = {name: _shown(name, content) for name, content in sorted(self.files.items())}
        return json.dumps({**self.body(), "files": own}, indent=2)


def start_request(
    spec: SweepSpec,
    code: Mapping[str, bytes] | None = None,
    *,
    attempt: int = 1,
    versions: Mapping[str, str | None],
    in_image: bool = False,
) -> JobRequest:
    """The request that starts a sweep.

    Args:
        spec: the sweep.
        code: the user's own files, by path.
        attempt: 1, unless an earlier one ended before the sweep began.
        versions: of the client.
        in_image: whether the user's own code is in the image of every node, so that none is sent.

    Raises:
        SpecError: the sweep cannot go to a cluster: a URL holds a secret, a place would be in the
            job's own folder, which Ray deletes, or data or code that it names are not sent.
    """
    problems = submission_problems(spec, code or {}, in_image=in_image)
    if problems:
        raise SpecError(problems)
    sweep = json.loads(spec.to_json())
    job = JobFile(name=spec.name, attempt=attempt, versions=versions, sweep=sweep)
    places = {"storage": spec.storage.model_dump(), "tracking": spec.tracking.model_dump()}
    digest = _digest(spec.to_json().encode(), _digest_of(code))
    shown = {SWEEP_FILE: dump_sweep(spec).encode()}
    return _request(job, {**(code or {}), **shown}, places, code, digest)


def resume_request(
    job: JobFile,
    digest: str,
    places: Mapping[str, Any],
    code: Mapping[str, bytes] | None = None,
) -> JobRequest:
    """The request that continues a sweep: the study knows it, so its file does not go again.

    Args:
        job: which sweep, which attempt, where its study is, what changes.
        digest: of the sweep as it was first submitted.
        places: where the sweep keeps its record, for the attempt after this one.
        code: the user's own, again: Ray keeps no package for long.

    Raises:
        SpecError: as in `start_request`.
    """
    refuse_secrets([*job.settings, *_flat(places).values()])
    problems = _place_problems(_flat(places))
    if problems:
        raise SpecError(problems)
    return _request(job, code or {}, places, code, digest)


def refuse_secrets(texts: Sequence[str]) -> None:
    """Refuse what was given on the command line before anything else may repeat it.

    Raises:
        SpecError: a text holds a URL with a password, a key or a token.
    """
    problems = [_secret("--set", text) for text in texts if has_secret(text)]
    if problems:
        raise SpecError(problems)


def submission_problems(
    spec: SweepSpec, code: Collection[str] = (), *, in_image: bool = False
) -> list[str]:
    """Why a sweep that is fine here cannot go to a cluster.

    Args:
        spec: the sweep.
        code: the files that go with it, by their paths in its working folder.
        in_image: as in `start_request`.
    """
    texts = _flat(json.loads(spec.to_json()))
    found = [_secret(where, text) for where, text in texts.items() if has_secret(text)]
    return found or [
        *_place_problems(texts),
        *_data_problems(spec, code),
        *([] if in_image else _modules_left_here(spec, code)),
    ]


def submission_cautions(spec: SweepSpec, code: Collection[str] = ()) -> list[str]:
    """What may be right on a cluster, if that has what is not sent; each with what to do.

    Args:
        spec: the sweep.
        code: as in `submission_problems`.
    """
    found = [
        f"{where}: {name} is none of the code that goes with the sweep: it must be installed on "
        "every node of the cluster; else give its folder by --code"
        for where, name in _modules(spec).items()
        if not _has_module(code, name)
    ]
    if spec.tracking.uri is None:
        found.append(
            "tracking.uri: is not given, and yours is not sent: the cluster's own "
            "MLFLOW_TRACKING_URI is taken, and the job ends at once where there is none; else "
            "give --tracking-uri, such as http://localhost:5000"
        )
    return found


def _request(
    job: JobFile,
    files: Mapping[str, bytes],
    places: Mapping[str, Any],
    code: Mapping[str, bytes] | None,
    digest: str,
) -> JobRequest:
    return JobRequest(
        submission_id=f"ganray-{job.name}-{job.attempt}",
        files={**files, REQUEST_FILE: job.to_json().encode()},
        metadata={
            NAME: job.name,
            ATTEMPT: str(job.attempt),
            DIGEST: digest,
            ASKED: _digest(replace(job, versions={}).to_json().encode(), _digest_of(code)),
            CODE: _digest_of(code).decode(),
            PLACES: json.dumps(places, sort_keys=True),
            VERSION: str(job.versions.get("ganray")),
        },
    )


def _digest(*parts: bytes) -> str:
    """Of parts that may hold anything, also one another."""
    return hashlib.sha256(b"".join(hashlib.sha256(p).digest() for p in parts)).hexdigest()


def _digest_of(code: Mapping[str, bytes] | None) -> bytes:
    """Of the user's own code; nothing if there is none."""
    if code is None:
        return b""
    parts = (part for name in sorted(code) for part in (name.encode(), code[name]))
    return _digest(*parts).encode()


def _flat(value: Any, where: str = "") -> dict[str, str]:
    """Every text in nested values, by its path."""
    if isinstance(value, str):
        return {where: value}
    if isinstance(value, list):
        value = dict(enumerate(value))
    inner = value.items() if isinstance(value, dict) else ()
    named = ((f"{where}.{key}" if where else str(key), item) for key, item in inner)
    return {path: text for key, item in named for path, text in _flat(item, key).items()}


def _secret(where: str, text: str) -> str:
    return (
        f"{where}: {redact(text)} holds a password, a key or a token, which every user of the "
        "cluster would see; credentials come from the cluster's environment: PGUSER and "
        "PGPASSWORD, MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, AWS_*"
    )


def _place_problems(texts: Mapping[str, str]) -> list[str]:
    return [
        f"{where}: {texts[where]!r} is relative, so it would be in the job's own folder, which "
        "Ray deletes; give a URL or a path that starts with / or ~"
        for where in ("storage.study", "storage.results", "tracking.uri")
        if where in texts and not _is_lasting(texts[where])
    ]


def _data_problems(spec: SweepSpec, code: Collection[str]) -> list[str]:
    return [
        f"data.{key}: {place!r} is relative, and a job's own folder has only the files that --code "
        "sends; give a path that starts with / or ~ and is on every node"
        for key, place in spec.data.files.items()
        if "://" not in place
        and not place.startswith(("/", "~"))
        and not any(PurePosixPath(file).is_relative_to(PurePosixPath(place)) for file in code)
    ]


def _modules(spec: SweepSpec) -> dict[str, str]:
    """The user's own code that a sweep names, `package.module:Name`, by where it does."""
    named = {"measure.features": spec.measure.features}
    if isinstance(spec.networks, CustomNetworks):
        named["networks.generator"] = spec.networks.generator
        named["networks.discriminator"] = spec.networks.discriminator
    return {where: name for where, name in named.items() if name is not None and ":" in name}


def _modules_left_here(spec: SweepSpec, code: Collection[str]) -> list[str]:
    """Modules of the folder here that are neither sent nor part of anything installed."""
    return [
        f"{where}: {name} is in the folder here, which does not go to the cluster by itself; add "
        "--code FOLDER, the one that it is imported from, such as --code ."
        for where, name in _modules(spec).items()
        if not _has_module(code, name) and _is_only_here(name.partition(":")[0].partition(".")[0])
    ]


def _is_only_here(package: str) -> bool:
    is_here = Path(package).is_dir() or Path(f"{package}.py").is_file()
    return is_here and package not in packages_distributions()


def _has_module(code: Collection[str], name: str) -> bool:
    path = name.partition(":")[0].replace(".", "/")
    return f"{path}.py" in code or f"{path}/__init__.py" in code


def _is_lasting(place: str) -> bool:
    path = place.removeprefix("sqlite:///")
    if path == place and "://" in place:
        return True
    return path.startswith(("/", "~"))


def _shown(name: str, content: bytes) -> Any:
    """Our own files as they are, the user's by their digest."""
    if name == REQUEST_FILE:
        return json.loads(content)
    if name == SWEEP_FILE:
        return content.decode()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
