"""Arguments and options that several commands share, and the way of them into settings."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ganray.client.names import check_name
from ganray.spec.names import ADJUSTABLE, JOURNALS

DATABASES = ("postgresql", "mysql", "sqlite")


def _checked(name: str | None) -> str | None:
    return None if name is None else check_name(name)


SweepFile = Annotated[Path, typer.Argument(metavar="SWEEP.yaml", help="The sweep file.")]
SweepName = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the sweep.", callback=_checked)
]
OptionalName = Annotated[
    str | None, typer.Argument(metavar="NAME", help="Name of the sweep.", callback=_checked)
]
NewName = Annotated[str | None, typer.Option("--name", help="Name of the sweep.")]
Trials = Annotated[int | None, typer.Option(help="How many trials.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the whole sweep.")]
NoPrune = Annotated[bool, typer.Option("--no-prune", help="Stop no trial early.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change the file: budget.updates=1000, or loss=hinge to fix a trial parameter. "
        "May be given many times.",
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change what the sweep may use, such as resources.max_gpus=2; adjustable are "
        f"{', '.join(path.removesuffix('.') for path in ADJUSTABLE)}. May be given many times.",
    ),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        metavar="URI",
        help="The MLflow store; by default $MLFLOW_TRACKING_URI, else sqlite:///mlflow.db here.",
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="PLACE",
        help="Folder for results, by default ~/ray_results; or database URL for the study.",
    ),
]
Register = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL_NAME",
        help="Register the best generator under this name in MLflow, as its next version.",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The cluster's dashboard, such as http://127.0.0.1:8265; by default $RAY_ADDRESS.",
    ),
]
Code = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Your own modules, if the sweep names any; they go with it."
    ),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure", help="Submit without a token, also to where others can reach the cluster."
    ),
]
WaitPending = Annotated[
    float,
    typer.Option(
        min=0.0, metavar="SECONDS", help="Stop a job whose driver has not started by then."
    ),
]


def settings_of_new(
    settings: list[str] | None,
    name: str | None,
    trials: int | None,
    seed: int | None,
    no_prune: bool,
    tracking_uri: str | None,
    register: str | None,
    storage: str | None,
) -> list[str]:
    """All that a new sweep's file is changed by, in the words of `--set`."""
    given = {"search.trials": trials, "search.seed": seed, "name": name}
    given |= {"tracking.uri": tracking_uri, "tracking.register": register}
    given |= storage_settings(storage)
    unpruned = ["prune=null"] if no_prune else []
    return [*(settings or []), *as_settings(given), *unpruned]


def as_settings(given: Mapping[str, object]) -> list[str]:
    """Options in the words of `--set`, without those that were not given."""
    return [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None]


def storage_settings(place: str | None) -> dict[str, str]:
    """`--storage` by dotted name, as for `as_settings`."""
    return {f"storage.{part}": value for part, value in storage_parts(place).items()}


def storage_parts(place: str | None) -> dict[str, str]:
    """`--storage` as the `storage` part of a sweep file.

    A database URL or a journal is the study's, anything else the place for results.
    """
    if place is None:
        return {}
    scheme, _, rest = place.partition("://")
    database = bool(rest) and scheme.partition("+")[0] in DATABASES
    return {"study" if database or place.endswith(JOURNALS) else "results": place}
