"""All that a report tells, read once: from MLflow alone, so the cluster may be long gone."""

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ganray.report.curves import Course, Panel, Reports, choose_curves, find_panels, ranked
from ganray.report.fates import Fate, told_trials
from ganray.report.importance import Finding, find_importances
from ganray.report.style import RUNNING
from ganray.spec.load import load_sweep
from ganray.spec.models import SweepSpec
from ganray.summary import Frame, best_trial, rows, tabulate, tabulate_confirmation
from ganray.tracking import schema
from ganray.tracking.reader import (
    SweepRow,
    TrialRow,
    fetch_artifacts,
    fetch_reports,
    fetch_sweep,
    fetch_sweep_file,
    list_milestones,
)
from ganray.tuning.places import BEST_PICTURE, STOP_PICTURE

_SHOWN_FIRST = (Fate.COLLAPSED, Fate.STALLED, Fate.DIVERGED)  # of the trials that failed


@dataclass(frozen=True, slots=True)
class Shots:
    """The recorded pictures of one trial, as far as there are any."""

    milestones: Mapping[int, bytes] = field(default_factory=dict)  # the first, the last; by update
    best: bytes | None = None  # at its best by the objective
    stop: bytes | None = None  # when it was stopped, or would have been


@dataclass(frozen=True, kw_only=True)
class Material:
    """One sweep, as far as its report needs it."""

    sweep: SweepRow
    spec: SweepSpec
    frame: Frame  # of `summarize`
    sweep_file: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    reports: Mapping[int, Reports] = field(default_factory=dict)  # of the trials that are shown
    real: bytes | None = None  # a picture of real data
    shots: Mapping[int, Shots] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the sweep."""
        return self.sweep.name

    @property
    def objective(self) -> str:
        """The signal that was optimised."""
        return self.sweep.objective

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The trials of the search as plain values."""
        return [row for row in rows(self.frame) if row["phase"] != "confirm"]

    @cached_property
    def best(self) -> dict[str, Any] | None:
        """The best trial, if one completed."""
        return best_trial(self.frame)

    @cached_property
    def failed(self) -> dict[str, Any] | None:
        """The trial that is shown beside the best: one that failed, if one did."""
        return find_failed(self.frame)

    @cached_property
    def confirmed(self) -> list[dict[str, Any]]:
        """The configurations that ran again with fresh seeds, the best median first."""
        return rows(tabulate_confirmation(self.sweep))

    @cached_property
    def findings(self) -> list[Finding]:
        """What decides failing and quality; takes seconds."""
        return find_importances(self.frame, self.spec)

    @cached_property
    def panels(self) -> list[Panel]:
        """The signals whose curves are shown."""
        return find_panels(self.rows, self.objective)

    @cached_property
    def courses(self) -> list[Course]:
        """The trials whose curves are shown."""
        ranks = {n: rank for rank, n in enumerate(ranked(self.rows, self.sweep.direction))}
        outcomes = {row["trial"]: row["outcome"] or RUNNING for row in self.rows}
        return [
            Course(number, outcomes[number], self.reports.get(number, ()), ranks.get(number))
            for number in choose_curves(self.rows, self.sweep.direction)
        ]


def gather(name: str, uri: str | None = None) -> Material:
    """Read a sweep from MLflow.

    Args:
        name: of the sweep.
        uri: of the store; None: as in `summarize`.

    Raises:
        UnknownSweepError: the store has no sweep of that name.
        TrackingError: the store, or the files in it, cannot be read.
        SpecError: the sweep's file is not one that this version knows.
    """
    sweep = fetch_sweep(name, uri)
    with tempfile.TemporaryDirectory() as folder:
        file = fetch_sweep_file(name, Path(folder), uri)
        spec, text = load_sweep(file), file.read_text(encoding="utf-8")
    beside = (schema.ENVIRONMENT_FILE, schema.REAL_PICTURE)
    files = fetch_artifacts(sweep.run_id, beside, uri)
    material = Material(
        sweep=sweep,
        spec=spec,
        frame=tabulate(sweep),
        sweep_file=text,
        environment=json.loads(files.get(schema.ENVIRONMENT_FILE, b"{}")),
        real=files.get(schema.REAL_PICTURE),
    )
    shown = [row["trial"] for row in (material.best, material.failed) if row is not None]
    trials = {trial.number: trial for trial in sweep.trials}
    curves = choose_curves(material.rows, sweep.direction)
    signals = [panel.signal for panel in material.panels]
    reports = fetch_reports((trials[n] for n in sorted({*curves, *shown})), signals, uri)
    return replace(
        material,
        reports=_by_trial(reports),
        shots={number: _fetch_shots(trials[number], uri) for number in shown},
    )


def find_failed(frame: Frame) -> dict[str, Any] | None:
    """Of the trials that failed the one to be looked at: best one that collapsed, and ran long.

    Args:
        frame: of `summarize`.
    """
    failed = [(row, fate) for row, fate in told_trials(frame) if fate.is_failure]
    return min(failed, key=lambda pair: _for_showing(*pair), default=(None, None))[0]


def _for_showing(row: Mapping[str, Any], fate: Fate) -> tuple[int, float, int]:
    return _SHOWN_FIRST.index(fate), -(row["stopped_at"] or 0.0), row["trial"]


def _by_trial(reports: Iterable[dict[str, Any]]) -> dict[int, Reports]:
    found: dict[int, list[dict[str, Any]]] = {}
    for report in reports:
        found.setdefault(report["trial"], []).append(report)
    return dict(found)


def _fetch_shots(trial: TrialRow, uri: str | None) -> Shots:
    milestones = list_milestones(trial.run_id, uri)
    ends = dict([*list(milestones.items())[:1], *list(milestones.items())[-1:]])
    names = [*ends.values(), BEST_PICTURE, STOP_PICTURE]
    files = fetch_artifacts(trial.run_id, names, uri)
    return Shots(
        milestones={update: files[name] for update, name in ends.items() if name in files},
        best=files.get(BEST_PICTURE),
        stop=files.get(STOP_PICTURE),
    )
