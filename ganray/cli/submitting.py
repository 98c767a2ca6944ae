"""A sweep goes to a cluster, or is shown as it would go."""

from pathlib import Path

from ganray.cli.reaching import reach
from ganray.cli.screen import tell, warn
from ganray.client.address import given_address
from ganray.client.code import read_code
from ganray.client.kuberay import Pods, submission_manifest
from ganray.client.request import submission_cautions
from ganray.client.sweeps import SweepClient
from ganray.spec.models import SweepSpec
from ganray.tuning.cautions import cautions


def request_text(spec: SweepSpec, address: str | None, code: Path | None) -> str:
    """What would be sent, as JSON; nobody is asked."""
    return SweepClient(address).request(spec, code).to_json()


def manifest_text(spec: SweepSpec, address: str | None, pods: Pods) -> str:
    """The same for Kubernetes, as JSON that `kubectl apply -f -` takes."""
    return submission_manifest(spec, SweepClient(address).request(spec, in_image=True), pods)


def send(
    spec: SweepSpec, address: str | None, code: Path | None, *, insecure: bool, wait_pending: float
) -> str:
    """Submit a sweep; returns its name, and tells on stderr what to do next.

    Where it had been submitted before, nothing is sent, and that is told, too.

    Raises:
        GanrayError: as in `SweepClient.submit`.
    """
    client = reach(address, insecure=insecure)
    done = client.submit(spec, code=code, wait_pending=wait_pending)
    if not done.is_new:
        again = "; to run it again, give another --name" if done.state == "finished" else ""
        tell(
            f"nothing was sent: '{done.name}' was submitted before, with the same file, and is "
            f"{done.state}{again}"
        )
    is_known = address is None and given_address(None) is not None
    tell(_next_steps(done.name, "" if is_known else f" --address {client.address}"))
    return done.name


def warn_of(file: Path, spec: SweepSpec, code: Path | None) -> None:
    """Tell on stderr what may go wrong with a sweep on a cluster."""
    files = read_code(code) if code is not None else {}
    warn(file, [*cautions(spec), *submission_cautions(spec, files)])


def _next_steps(name: str, at: str) -> str:
    """The commands that follow a submission, as they can be pasted.

    Args:
        name: of the sweep.
        at: the option that names the cluster, with a space before it, if it needs one.
    """
    return (
        f"next: ganray status {name}{at}     # how it stands\n"
        f"      ganray logs {name} -f{at}    # what its driver says, until it ends\n"
        f"      ganray stop {name}{at}       # end it, with every trial recorded"
    )
