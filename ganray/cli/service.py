"""The commands for sweeps that run elsewhere, or here in another process."""

import json
import sys
from typing import Annotated

import typer

from ganray.cli.guide import CLUSTER, RESULTS, SWEEPS, command
from ganray.cli.options import (
    Address,
    Changes,
    Code,
    Insecure,
    NewName,
    NoPrune,
    Register,
    Seed,
    Settings,
    Storage,
    SweepFile,
    SweepName,
    TrackingUri,
    Trials,
    WaitPending,
    as_settings,
    settings_of_new,
    storage_parts,
)
from ganray.cli.screen import working

service = typer.Typer()
AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
# of `submit` alone
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the request, send nothing.")]
KubeRay = Annotated[
    bool, typer.Option("--kuberay", help="With --dry-run: print it as KubeRay's RayJob.")
]
Image = Annotated[
    str | None, typer.Option(help="With --kuberay: Ray's image with ganray installed.")
]
Gpus = Annotated[int, typer.Option(min=1, help="With --kuberay: worker pods, each with one GPU.")]
Secret = Annotated[
    str, typer.Option(help="With --kuberay: the Secret with the driver's credentials.")
]
ServiceAccount = Annotated[
    str | None,
    typer.Option(help="With --kuberay: of the pods, where it opens the object store to them."),
]


@command(
    service,
    CLUSTER,
    "ganray submit sweeps/ring.yaml --address http://127.0.0.1:8265",
    "ganray submit sweeps/ring.yaml --code nets --dry-run",
)
def submit(
    file: SweepFile,
    address: Address = None,
    name: NewName = None,
    trials: Trials = None,
    seed: Seed = None,
    no_prune: NoPrune = False,
    settings: Settings = None,
    tracking_uri: TrackingUri = None,
    register: Register = None,
    storage: Storage = None,
    code: Code = None,
    dry_run: DryRun = False,
    kuberay: KubeRay = False,
    image: Image = None,
    gpus: Gpus = 1,
    secret: Secret = "ganray",
    service_account: ServiceAccount = None,
    insecure: Insecure = False,
    wait_pending: WaitPending = 300.0,
) -> None:
    """Start a sweep on a cluster, and print its name.

    Again with the same file, it tells how the sweep stands.
    """
    if kuberay and (not dry_run or image is None or code is not None):
        raise typer.BadParameter(
            "prints what kubectl applies: add --dry-run and --image; code goes into the image",
            param_hint="--kuberay",
        )
    from ganray.cli.submitting import manifest_text, request_text, send, warn_of
    from ganray.client.kuberay import Pods
    from ganray.client.request import refuse_secrets
    from ganray.spec.load import load_sweep

    changes = settings_of_new(
        settings, name, trials, seed, no_prune, tracking_uri, register, storage
    )
    refuse_secrets(changes)
    spec = load_sweep(file, changes)
    if kuberay:
        pods = Pods(str(image), gpus, secret, service_account)
        print(manifest_text(spec, address, pods))
    elif dry_run:
        print(request_text(spec, address, code))
    else:
        warn_of(file, spec, code)
        print(send(spec, address, code, insecure=insecure, wait_pending=wait_pending))


@command(
    service,
    RESULTS,
    "ganray list",
    "ganray list --address http://127.0.0.1:8265 --json",
    name="list",
)
def list_sweeps(
    address: Address = None, tracking_uri: TrackingUri = None, as_json: AsJson = False
) -> None:
    """Show all sweeps of a cluster, or without an address of a store."""
    with working("asking for sweeps"):
        from ganray.cli.standing import find_sweeps, print_sweeps

        found = find_sweeps(address, tracking_uri)
    if as_json:
        print(json.dumps([status.to_dict() for status in found], indent=2))
    else:
        print_sweeps(found)


@command(
    service,
    RESULTS,
    "ganray status ring-8",
    "ganray status ring-8 --json",
)
def status(
    name: SweepName,
    address: Address = None,
    tracking_uri: TrackingUri = None,
    as_json: AsJson = False,
) -> None:
    """Show how a sweep stands.

    Without a cluster, as far as the tracking store knows.
    """
    with working(f"asking for {name}"):
        from ganray.cli.standing import find_status, print_status

        found = find_status(name, address, tracking_uri)
    if as_json:
        print(json.dumps(found.to_dict(), indent=2))
    else:
        print_status(found, address)


@command(
    service,
    CLUSTER,
    "ganray logs ring-8 -f",
)
def logs(
    name: SweepName,
    address: Address = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on until the sweep has ended.")
    ] = False,
) -> None:
    """Print the log of a sweep's driver."""
    from ganray.cli.reaching import reach

    for chunk in reach(address).logs(name, follow=follow):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


@command(
    service,
    SWEEPS,
    "ganray stop ring-8",
    "ganray stop ring-8 --address http://127.0.0.1:8265",
)
def stop(name: SweepName, address: Address = None, storage: Storage = None) -> None:
    """Stop a sweep in order, with every trial recorded.

    Without an address, one that runs on this machine.
    """
    from ganray.client.address import given_address

    if given_address(address) is not None:
        with working(f"stopping {name}"):
            from ganray.cli.reaching import reach

            found = reach(address).stop(name)
        print(f"{name}: {found.state}")
    else:
        with working(f"stopping {name}"):
            from ganray.cli.local import stop_here

            state = stop_here(name, storage_parts(storage))
        print(f"{name}: {state}")


@command(
    service,
    SWEEPS,
    "ganray resume ring-8",
    "ganray resume ring-8 --trials 40 --hours 12",
)
def resume(
    name: SweepName,
    address: Address = None,
    trials: Annotated[int | None, typer.Option(help="How many trials in all.")] = None,
    hours: Annotated[float | None, typer.Option(help="Hours in all.")] = None,
    failures: Annotated[int | None, typer.Option(help="Crashed trials that it takes.")] = None,
    settings: Changes = None,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    code: Code = None,
    insecure: Insecure = False,
    wait_pending: WaitPending = 300.0,
) -> None:
    """Continue a sweep that was stopped or failed, or enlarge it.

    Its study knows the rest, so no sweep file is needed. On a cluster, your own code must be given
    again; without an address the sweep runs here.
    """
    from ganray.client.address import given_address
    from ganray.client.request import refuse_secrets

    given: dict[str, object] = {"search.trials": trials, "budget.hours": hours}
    given |= {"budget.failures": failures, "tracking.uri": tracking_uri}
    changes = [*(settings or []), *as_settings(given)]
    places = storage_parts(storage)
    if given_address(address) is None:
        with working("loading Ray, Optuna and PyTorch", aloud=True):
            from ganray.cli.local import resume_here

        raise typer.Exit(resume_here(name, places, changes))
    from ganray.cli.reaching import reach

    refuse_secrets([*changes, *places.values()])
    done = reach(address, insecure=insecure).resume(
        name, settings=changes, storage=places, code=code, wait_pending=wait_pending
    )
    print(done.name)
