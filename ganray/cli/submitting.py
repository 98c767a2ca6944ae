"""A sweep goes to a cluster, or is shown as it would go."""

from pathlib import Path

from ganray.cli.reaching import reach
from ganray.cli.screen import tell
from ganray.client.kuberay import Pods, submission_manifest
from ganray.client.sweeps import SweepClient
from ganray.spec.models import SweepSpec


def request_text(spec: SweepSpec, address: str | None, code: Path | None) -> str:
    """What would be sent, as JSON; nobody is asked."""
    return SweepClient(address).request(spec, code).to_json()


def manifest_text(spec: SweepSpec, address: str | None, pods: Pods) -> str:
    """The same for Kubernetes, as JSON that `kubectl apply -f -` takes."""
    return submission_manifest(spec, SweepClient(address).request(spec), pods)


def send(
    spec: SweepSpec, address: str | None, code: Path | None, *, insecure: bool, wait_pending: float
) -> str:
    """Submit a sweep; returns its name, and tells on stderr if it had been submitted before.

    Raises:
        GanrayError: as in `SweepClient.submit`.
    """
    client = reach(address, insecure=insecure)
    done = client.submit(spec, code=code, wait_pending=wait_pending)
    if not done.is_new:
        tell(f"'{done.name}' was submitted before, with the same file; it is {done.state}")
    return done.name
