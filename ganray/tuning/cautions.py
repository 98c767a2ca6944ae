"""What a sweep may say, but hardly means: told before it runs, and no error."""

from collections.abc import Iterator

from ganray.health.rules import FEWEST_REPORTS
from ganray.spec.models import SweepSpec
from ganray.spec.problems import Problem


def cautions(spec: SweepSpec) -> list[Problem]:
    """Each with where it stands in the file and what to change."""
    return [*_few_reports(spec)]


def _few_reports(spec: SweepSpec) -> Iterator[Problem]:
    judges = spec.prune is not None and spec.prune.risk is not None
    if judges and spec.budget.reports < FEWEST_REPORTS:
        yield Problem(
            "budget.reports",
            f"{spec.budget.reports} are too few for the health rules, which need "
            f"{FEWEST_REPORTS}: no dead trial will be stopped; set budget.reports to at least "
            f"{FEWEST_REPORTS}, or prune.risk to null if that is meant",
        )
