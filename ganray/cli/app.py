"""The commands: parse, call, print, exit code. stdout is for results, stderr for all else."""

import json
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

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
from ganray.cli.screen import warn
from ganray.cli.service import service
from ganray.errors import GanrayError
from ganray.secrets import RedactingFilter, redact

# Everything heavy is imported inside the command that needs it: `--help` must answer at once.

app = typer.Typer(
    name="ganray",
    help="Hyperparameter sweeps for GANs: find what trains well, stop what is dead.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def validate(
    file: Annotated[
        Path | None, typer.Argument(metavar="SWEEP.yaml", help="The sweep file.")
    ] = None,
    settings: Settings = None,
    schema: Annotated[bool, typer.Option(help="Print the JSON schema of a sweep file.")] = False,
) -> None:
    """Check a sweep file: every problem at once, or one line that it is good."""
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


@app.command()
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
    """Run a sweep here, on a local Ray, with a live table; then print its summary."""
    from ganray.spec.load import load_sweep

    changes = settings_of_new(
        settings, name, trials, seed, no_prune, tracking_uri, register, storage
    )
    spec = load_sweep(file, changes, here=True)
    from ganray.tuning.cautions import cautions

    warn(file, cautions(spec))
    from ganray.cli.local import run_here

    raise typer.Exit(run_here(spec))


@app.command()
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
    """Train one trial in this process, without Ray; what is not set comes from search.first."""
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
        _fail(f"diverged: {signals.nonfinite} not finite", 1)


@app.command()
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
        int | None, typer.Option(min=0, help="The class to draw.", show_default="all in turn")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A checkpoint of `ganray train`, in place of a sweep.")
    ] = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Draw new samples from a trial of a recorded sweep, or from a checkpoint file."""
    if (name is None) == (checkpoint is None):
        raise typer.BadParameter("give the name of a sweep, or --checkpoint FILE")
    from ganray.cli import sampling

    sampling.check_output(output)
    if checkpoint is not None:
        content = sampling.read_checkpoint(checkpoint)
    else:
        content = sampling.recorded_checkpoint(str(name), trial, at, tracking_uri)
    sampling.write_samples(sampling.draw_samples(content, count, seed, label), output)
    print(output)


@app.command()
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
    from ganray.cli.tables import print_summary, write_summary

    if format_ != "table":
        write_summary(name, tracking_uri, format_, output)
    elif output is None:
        print_summary(name, tracking_uri)
    else:
        raise typer.BadParameter("a file takes csv, json or parquet", param_hint="--format")


@app.command()
def report(
    name: SweepName,
    output: Annotated[Path, typer.Option(help="Folder for the page and figures; made if need be.")],
    tracking_uri: TrackingUri = None,
) -> None:
    """Write a page that tells a sweep, and its figures, from MLflow alone."""
    from ganray.cli.reporting import print_report

    print_report(name, tracking_uri, output)


@app.command()
def replay(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME", help="Sweeps, or .parquet files that --save wrote."),
    ],
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE",
            help="A built-in policy, or a YAML file with a `prune` section. May be given many "
            "times.",
            show_default="all built-in ones",
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
    """Tell what other pruning policies would have done, on recorded histories."""
    if save is not None and save.suffix != ".parquet":
        raise typer.BadParameter(f"{save}: must end in .parquet", param_hint="--save")
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


@app.command()
def sync(
    name: Annotated[str, typer.Argument(help="Name of the sweep.")],
    tracking_uri: TrackingUri = None,
    storage: Storage = None,
) -> None:
    """Bring to MLflow what it has not of a sweep that nobody runs any more, from its study."""
    from ganray.cli.syncing import bring

    print(bring(name, storage_parts(storage), tracking_uri))


@app.command()
def ui(
    tracking_uri: TrackingUri = None,
    port: Annotated[int, typer.Option(help="On this machine's loopback.")] = 5000,
) -> None:
    """Open the MLflow UI on the store that sweeps are recorded in."""
    import subprocess

    from ganray.tracking.store import tracking_uri as store

    uri = store(tracking_uri)
    if uri.startswith(("http://", "https://")):
        print(f"The MLflow UI is at {redact(uri)}")
        return
    shown = f"The MLflow UI of {redact(uri)} is at http://127.0.0.1:{port}"
    print(f"{shown} (Ctrl-C ends it)", flush=True)
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)]
    store_of = {"MLFLOW_BACKEND_STORE_URI": uri}  # whoever lists processes reads their arguments
    raise typer.Exit(subprocess.call(command, env=os.environ | store_of))


app.add_typer(service)


def main() -> None:
    """The program: ganray's own errors become a message and an exit code."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(RedactingFilter())
    try:
        app()
    except GanrayError as error:
        _fail(str(error), error.exit_code)
    except Exception:
        print(redact(traceback.format_exc()), end="", file=sys.stderr)
        sys.exit(1)


def _fail(message: str, code: int) -> NoReturn:
    for line in redact(message).splitlines():
        print(f"ganray: {line}", file=sys.stderr)
    sys.exit(code)
