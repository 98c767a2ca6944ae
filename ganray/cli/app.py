"""The commands: parse, call, print, exit code. stdout is for results, stderr for all else."""

import json
import logging
import sys
import traceback
from pathlib import Path
from typing import Annotated, Literal

import typer

from ganray.cli.failing import fail, tell_problems
from ganray.cli.guide import EXIT_CODES, RESULTS, SWEEPS, TOOLS, Group, command
from ganray.cli.options import (
    NewName,
    NoPrune,
    OptionalName,
    Register,
    Seed,
    Settings,
    Storage,
    SweepFile,
    SweepName,
    TrackingUri,
    Trials,
    as_settings,
    settings_of_new,
    storage_parts,
    storage_settings,
)
from ganray.cli.screen import warn, working
from ganray.cli.service import service
from ganray.errors import GanrayError
from ganray.secrets import RedactingFilter, redact

# Everything heavy is imported inside the command that needs it: `--help` must answer at once.

app = typer.Typer(
    name="ganray",
    cls=Group,
    help="Hyperparameter sweeps for GANs: find what trains well, stop what is dead.",
    epilog=f"`ganray COMMAND --help` tells more, with examples. {EXIT_CODES}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@command(
    app,
    SWEEPS,
    "ganray validate sweeps/ring.yaml --set budget.updates=2000 --measure",
    "ganray validate --schema > schema.json",
)
def validate(
    file: Annotated[
        Path | None, typer.Argument(metavar="SWEEP.yaml", help="The sweep file.")
    ] = None,
    settings: Settings = None,
    schema: Annotated[bool, typer.Option(help="Print the JSON schema of a sweep file.")] = False,
    measure: Annotated[
        bool, typer.Option(help="Train a little on this GPU, to say how many trials fit on it.")
    ] = False,
) -> None:
    """Check a sweep file; every problem is told at once."""
    if schema:
        from ganray.spec.schema import json_schema

        print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
        return
    if file is None:
        raise typer.BadParameter("give a sweep file, or --schema", param_hint="SWEEP.yaml")
    from ganray.spec.load import load_sweep
    from ganray.tuning.cautions import cautions
    from ganray.tuning.space import trial_count

    spec = load_sweep(file, settings or [], here=True)
    warn(file, cautions(spec))
    search, confirm = spec.search, spec.confirm
    again = f"; the best {confirm.top} again with {confirm.seeds} fresh seeds each"
    print(
        f"{file}: valid. '{spec.name}': {trial_count(spec)} {search.sampler} trials of "
        f"{spec.budget.updates} updates on {spec.data.name}, "
        f"searching {', '.join(search.space.entries)}{again if confirm.trials else ''}"
    )
    if measure:
        with working("measuring trials on the GPU"):
            from ganray.cli.sharing import advise

            advice = advise(spec)
        print(advice)


@command(
    app,
    SWEEPS,
    "ganray run sweeps/ring.yaml",
    "ganray run sweeps/ring.yaml --name ring-8 --trials 8 --set loss=hinge",
)
def run(
    file: SweepFile,
    trials: Trials = None,
    seed: Seed = None,
    name: NewName = None,
    no_prune: NoPrune = False,
    settings: Settings = None,
    tracking_uri: TrackingUri = None,
    register: Register = None,
    storage: Storage = None,
) -> None:
    """Run a sweep here, with a live table, then print its summary."""
    from ganray.spec.load import load_sweep
    from ganray.tuning.cautions import cautions

    changes = settings_of_new(
        settings, name, trials, seed, no_prune, tracking_uri, register, storage
    )
    spec = load_sweep(file, changes, here=True)
    warn(file, cautions(spec))
    with working("loading Ray, Optuna and PyTorch", aloud=True):
        from ganray.cli.local import run_here

    raise typer.Exit(run_here(spec))


@command(
    app,
    SWEEPS,
    "ganray train sweeps/ring.yaml --set loss=hinge --output hinge",
    "ganray train sweeps/ring.yaml --name ring-8 --trial 3",
)
def train(
    file: SweepFile,
    trial: Annotated[
        int | None, typer.Option(help="Repeat this trial of the recorded sweep.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the recorded sweep.")] = None,
    settings: Settings = None,
    storage: Storage = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for checkpoint.pt and samples.png.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the last signals as JSON.")
    ] = False,
) -> None:
    """Train one trial in this process, without Ray.

    What is not set comes from the first point of search.first.
    """
    with working("loading PyTorch"):
        from ganray.cli.training import train_one
        from ganray.spec.load import load_sweep

    if trial is not None and settings:
        raise typer.BadParameter("--set changes what --trial repeats; give one of the two")
    given = {"name": name, **storage_settings(storage)}
    spec = load_sweep(file, [*(settings or []), *as_settings(given)], here=True)
    signals = train_one(spec, trial, output)
    if as_json:
        print(json.dumps(signals.to_dict()))
    if signals.nonfinite is not None:
        tell_problems([f"diverged: {signals.nonfinite} not finite"])
        raise typer.Exit(1)


@command(
    app,
    RESULTS,
    "ganray sample ring-8 --trial best -n 64 --output ring.png",
    "ganray sample --checkpoint hinge/checkpoint.pt --output hinge.npy",
)
def sample(
    name: OptionalName = None,
    output: Annotated[
        Path, typer.Option(help="Where to: a picture (.png) or an array (.npy).")
    ] = Path("samples.png"),
    trial: Annotated[str, typer.Option(help="Number of the trial, or best.")] = "best",
    at: Annotated[
        Literal["last", "best"], typer.Option(help="The trial at its last report, or at its best.")
    ] = "last",
    count: Annotated[int, typer.Option("-n", min=1, help="How many samples.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of the latents.")] = 0,
    label: Annotated[
        int | None, typer.Option(min=0, help="The class to draw; by default all in turn.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A checkpoint of `ganray train`, in place of a sweep.")
    ] = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Draw samples from a recorded trial, or from a checkpoint file."""
    if (name is None) == (checkpoint is None):
        raise typer.BadParameter("give the name of a sweep, or --checkpoint FILE")
    with working("drawing samples"):
        from ganray.cli import sampling

        sampling.check_output(output)
        if checkpoint is not None:
            content = sampling.read_checkpoint(checkpoint)
        else:
            content = sampling.recorded_checkpoint(str(name), trial, at, tracking_uri)
        sampling.write_samples(sampling.draw_samples(content, count, seed, label), output)
    print(output)


@command(
    app,
    RESULTS,
    "ganray summary ring-8",
    "ganray summary ring-8 --format parquet --output ring-8.parquet",
)
def summary(
    name: SweepName,
    format_: Annotated[
        Literal["table", "csv", "json", "parquet"],
        typer.Option("--format", help="What to print or write."),
    ] = "table",
    output: Annotated[Path | None, typer.Option(help="Write to this file.")] = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Print a sweep's trials, from MLflow alone."""
    with working("loading pandas and MLflow"):
        from ganray.cli.tables import print_summary, write_summary

    if format_ != "table":
        write_summary(name, tracking_uri, format_, output)
    elif output is None:
        print_summary(name, tracking_uri)
    else:
        raise typer.BadParameter("a file takes csv, json or parquet", param_hint="--format")


@command(
    app,
    RESULTS,
    "ganray report ring-8",
    "ganray report ring-8 --output figures",
)
def report(
    name: SweepName,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the page and figures, made if need be; by default NAME-report."
        ),
    ] = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Write a page that tells a sweep, and its figures."""
    from ganray.cli.reporting import print_report

    print_report(name, tracking_uri, output or Path(f"{name}-report"))


@command(
    app,
    RESULTS,
    "ganray replay ring-8 --output replayed",
    "ganray replay ring-8 --policy ganray-0.05 --policy my-prune.yaml",
)
def replay(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME", help="Sweeps, or .parquet files that --save wrote."),
    ],
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE",
            help="A built-in policy, or a YAML file with a `prune` section; by default all "
            "built-in ones. May be given many times.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for replay.png, replay.json and decisions.csv."),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE.parquet", help="Write the histories that were read."),
    ] = None,
    resamples: Annotated[
        int, typer.Option(min=1, help="Resampled sweeps that the regret is taken over.")
    ] = 1_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
    tracking_uri: TrackingUri = None,
) -> None:
    """Tell what other pruning policies would have done."""
    if save is not None and save.suffix != ".parquet":
        raise typer.BadParameter(f"{save}: must end in .parquet", param_hint="--save")
    with working("loading Optuna and MLflow"):
        from ganray.cli import replaying
        from ganray.tuning.replay.export import as_json as plain

    if output is not None:
        replaying.make_folder(output)
    comparison = replaying.replay(names, policy or [], resamples, tracking_uri, save)
    if output is not None:
        replaying.write(comparison, output)
    if as_json:
        print(json.dumps(plain(comparison), indent=1))
    else:
        replaying.show(comparison)


@command(
    app,
    TOOLS,
    "ganray sync ring-8 --tracking-uri http://localhost:5000",
)
def sync(
    name: Annotated[str, typer.Argument(help="Name of the sweep.")],
    tracking_uri: TrackingUri = None,
    storage: Storage = None,
) -> None:
    """Bring to MLflow what an outage kept from it, from the study.

    Nobody may run the sweep meanwhile: whoever does brings it himself.
    """
    with working(f"bringing {name} to MLflow"):
        from ganray.cli.syncing import bring

        told = bring(name, storage_parts(storage), tracking_uri)
    print(told)


@command(
    app,
    TOOLS,
    "ganray ui --port 5001",
)
def ui(
    tracking_uri: TrackingUri = None,
    port: Annotated[int, typer.Option(help="On this machine's loopback.")] = 5000,
) -> None:
    """Open the MLflow UI on the store that sweeps are recorded in."""
    from ganray.tracking.store import tracking_uri as store

    uri = store(tracking_uri)
    if uri.startswith(("http://", "https://")):
        print(f"The MLflow UI is at {redact(uri)}")
        return
    from ganray.cli.mlflow_ui import serve

    raise typer.Exit(serve(uri, port))


app.add_typer(service)


def main() -> None:
    """The program: ganray's own errors become a message and an exit code."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(RedactingFilter())
    try:
        app(prog_name="ganray")
    except GanrayError as error:
        fail(error)
    except Exception:
        print(redact(traceback.format_exc()), end="", file=sys.stderr)
        sys.exit(1)
