"""The commands for sweeps that run elsewhere, or here in another process."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ganray.cli.options import (
    Address,
    Code,
    Insecure,
    Settings,
    Storage,
    SweepFile,
    SweepName,
    TrackingUri,
    WaitPending,
    as_settings,
    storage_settings,
)

if TYPE_CHECKING:
    from ganray.client.sweeps import SweepClient

service = typer.Typer()
AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


@service.command()
def submit(
    file: SweepFile,
    address: Address = None,
    name: Annotated[str | None, typer.Option(help="Name of the sweep.")] = None,
    trials: Annotated[int | None, typer.Option(help="How many trials.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the whole sweep.")] = None,
    no_prune: Annotated[bool, typer.Option("--no-prune", help="Stop no trial early.")] = False,
    settings: Settings = None,
    tracking_uri: TrackingUri = None,
    storage: Storage = None,
    code: Code = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the request, send nothing.")
    ] = False,
    kuberay: Annotated[
        bool, typer.Option("--kuberay", help="With --dry-run: print it as KubeRay's RayJob.")
    ] = False,
    image: Annotated[
        str | None, typer.Option(help="With --kuberay: Ray's image with ganray installed.")
    ] = None,
    gpus: Annotated[
        int, typer.Option(min=1, help="With --kuberay: worker pods, each with one GPU.")
    ] = 1,
    secret: Annotated[
        str, typer.Option(help="With --kuberay: the Secret with the driver's credentials.")
    ] = "ganray",
    insecure: Insecure = False,
    wait_pending: WaitPending = 300.0,
) -> None:
    """Start a sweep on a cluster; prints its name. Again with the same file: how it stands."""
    if kuberay and (not dry_run or image is None or code is not None):
        raise typer.BadParameter(
            "prints what kubectl applies: add --dry-run and --image; code goes into the image",
            param_hint="--kuberay",
        )
    from ganray.client.request import refuse_secrets
    from ganray.client.sweeps import SweepClient
    from ganray.spec.load import load_sweep

    given = {"search.trials": trials, "search.seed": seed, "name": name}
    given |= {"tracking.uri": tracking_uri, **storage_settings(storage)}
    unpruned = ["prune=null"] if no_prune else []
    refuse_secrets([*(settings or []), *as_settings(given)])
    spec = load_sweep(file, [*(settings or []), *as_settings(given), *unpruned])
    client = SweepClient(address, insecure=insecure)
    if kuberay:
        from ganray.client.kuberay import submission_manifest

        request = client.request(spec)
        print(submission_manifest(spec, request, image=str(image), gpus=gpus, secret=secret))
        return
    if dry_run:
        print(client.request(spec, code).to_json())
        return
    _warn(client)
    done = client.submit(spec, code=code, wait_pending=wait_pending)
    if not done.is_new:
        _tell(f"'{done.name}' was submitted before, with the same file; it is {done.state}")
    print(done.name)


@service.command(name="list")
def list_sweeps(
    address: Address = None, tracking_uri: TrackingUri = None, as_json: AsJson = False
) -> None:
    """Show all sweeps of a cluster; without an address, of a tracking store."""
    from ganray.cli.standing import print_sweeps
    from ganray.client.address import given_address

    if given_address(address) is not None and tracking_uri is None:
        from ganray.client.sweeps import SweepClient

        found = SweepClient(address).list()
    else:
        from ganray.client.recorded import recorded_sweeps

        found = recorded_sweeps(tracking_uri)
    if as_json:
        print(json.dumps([status.to_dict() for status in found], indent=2))
    else:
        print_sweeps(found)


@service.command()
def status(
    name: SweepName,
    address: Address = None,
    tracking_uri: TrackingUri = None,
    as_json: AsJson = False,
) -> None:
    """Show how a sweep stands; without a cluster, as far as the tracking store knows."""
    from ganray.cli.standing import find_status, print_status

    found = find_status(name, address, tracking_uri)
    if as_json:
        print(json.dumps(found.to_dict(), indent=2))
    else:
        print_status(found)


@service.command()
def logs(
    name: SweepName,
    address: Address = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on until the sweep has ended.")
    ] = False,
) -> None:
    """Print the log of a sweep's driver."""
    from ganray.client.sweeps import SweepClient

    for chunk in SweepClient(address).logs(name, follow=follow):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


@service.command()
def stop(name: SweepName, address: Address = None, storage: Storage = None) -> None:
    """Stop a sweep in order, with every trial recorded; without an address, one that runs here."""
    from ganray.client.address import given_address

    if given_address(address) is not None:
        from ganray.client.sweeps import SweepClient

        found = SweepClient(address).stop(name)
        print(f"{name}: {found.state}")
    else:
        from ganray.cli.local import stop_here

        print(f"{name}: {stop_here(name, _places(storage))}")


@service.command()
def resume(
    name: SweepName,
    address: Address = None,
    trials: Annotated[int | None, typer.Option(help="How many trials in all.")] = None,
    hours: Annotated[float | None, typer.Option(help="Hours in all.")] = None,
    failures: Annotated[int | None, typer.Option(help="Crashed trials that it takes.")] = None,
    settings: Settings = None,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    code: Code = None,
    insecure: Insecure = False,
    wait_pending: WaitPending = 300.0,
) -> None:
    """Continue a sweep that was stopped or failed, or give it a larger budget.

    Its study knows the rest, so no sweep file is needed. On a cluster, your own code must be given
    again; without an address the sweep runs here.
    """
    from ganray.client.address import given_address
    from ganray.client.request import refuse_secrets

    given: dict[str, object] = {"search.trials": trials, "budget.hours": hours}
    given |= {"budget.failures": failures, "tracking.uri": tracking_uri}
    changes = [*(settings or []), *as_settings(given)]
    places = _places(storage)
    if given_address(address) is None:
        from ganray.cli.local import resume_here

        raise typer.Exit(resume_here(name, places, changes))
    from ganray.client.sweeps import SweepClient

    refuse_secrets([*changes, *places.values()])
    client = SweepClient(address, insecure=insecure)
    _warn(client)
    done = client.resume(
        name, settings=changes, storage=places, code=code, wait_pending=wait_pending
    )
    print(done.name)


def _places(storage: str | None) -> dict[str, str]:
    """`--storage` as the `storage` part of a sweep file."""
    return {key.partition(".")[2]: place for key, place in storage_settings(storage).items()}


def _warn(client: "SweepClient") -> None:
    if client.is_overheard:
        _tell(
            f"note: the token goes to {client.address} in plain text; use https, `ray dashboard` "
            "or an SSH tunnel"
        )


def _tell(text: str) -> None:
    print(text, file=sys.stderr)
