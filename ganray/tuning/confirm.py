"""The best configurations of a finished search, each again with fresh seeds: a second study.

One lucky seed is no result. Confirming trials run their whole budget whatever the judge says, so
that the worst of them, and how many end badly, is what it would be without a pruner.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import Trial

from ganray.errors import UnknownSweepError
from ganray.spec.models import SweepSpec
from ganray.trial import TrialConfig, derive_seed
from ganray.tuning.places import Located
from ganray.tuning.space import suggest_these
from ganray.tuning.study import Assignment, SweepStudy


class ConfirmStudy(SweepStudy):
    """The study of a sweep's confirming trials, beside that of its search, which has to be over.

    What it asks for follows from the search alone. Its numbers go on where those of the search
    end, so that a number names one trial of the sweep.
    """

    SUFFIX = ".confirm"  # no sweep has a name with a dot
    OPENING = 60.0  # in the middle of a sweep: its storage was there before

    def __init__(self, spec: SweepSpec, study: Study) -> None:
        super().__init__(spec, study)  # with the sweep's own rules, by which trials are judged
        self.spec = spec.model_copy(update={"prune": None})  # but not stopped
        record = optuna.load_study(study_name=spec.name, storage=study._storage)
        self.first = len(record.get_trials(deepcopy=False))
        self._plan = _plan(SweepStudy(spec, record))

    def change(self, spec: SweepSpec) -> None:
        """As for any study, but that nothing stops these trials."""
        super().change(spec)
        self.spec = spec.model_copy(update={"prune": None})

    @property
    def size(self) -> int:
        """How many trials there are to be: fewer than asked for if fewer completed."""
        return len(self._plan)

    def _fixed(self, index: int) -> dict[str, Any]:
        # a fresh seed need not be one of those that were searched
        searched = self._plan[index].searched
        return {name: value for name, value in searched.items() if name != "seed"}

    def _sampler(self, index: int) -> BaseSampler:
        return RandomSampler(0)  # has nothing to choose

    def _assign(self, trial: Trial) -> Assignment:
        suggest_these(trial, self.spec, self._fixed(trial.number))
        return replace(self._plan[trial.number], number=self.first + trial.number)


def studies_of(search: SweepStudy) -> list[SweepStudy]:
    """The study of a sweep's search, and that of its confirmation if there is one."""
    found = ConfirmStudy.exists(search.spec)
    return [search, ConfirmStudy.load(search.spec)] if found else [search]


def find_config(place: Located, number: int) -> tuple[SweepSpec, TrialConfig]:
    """A recorded sweep, and the configuration of one of its trials, searching or confirming.

    Args:
        place: the sweep's name and storage.
        number: of the trial.

    Raises:
        UnknownSweepError: there is no such sweep, or it has no such trial.
    """
    search = SweepStudy.load(place)
    try:
        confirming = ConfirmStudy.load(place)
    except UnknownSweepError:  # nothing of it was confirmed
        return search.spec, search.config(number)
    study = confirming if number >= confirming.first else search
    return search.spec, study.config(number)


def fresh_seeds(spec: SweepSpec, number: int, used: int, wanted: int) -> list[int]:
    """Different seeds for the trials that confirm trial `number`, none of them the `used` one."""
    seeds: list[int] = []
    candidates: Iterator[int] = (
        derive_seed(spec.search.seed, number, index, "confirm") for index in count()
    )
    while len(seeds) < wanted:
        seed = next(candidates)
        if seed != used and seed not in seeds:
            seeds.append(seed)
    return seeds


def _plan(search: SweepStudy) -> list[Assignment]:
    """All confirming trials, numbered from 0: every configuration once before any a second time.

    A sweep that ends early has then confirmed all of them alike.
    """
    spec = search.spec
    best = search.best(spec.confirm.top)
    seeds = [fresh_seeds(spec, b.number, b.config.seed, spec.confirm.seeds) for b in best]
    plan: list[Assignment] = []
    for round_ in zip(*seeds, strict=True):
        for trial, seed in zip(best, round_, strict=True):
            searched = {**trial.searched, **({"seed": seed} if "seed" in trial.searched else {})}
            config = replace(trial.config, seed=seed)
            plan.append(Assignment(len(plan), config, searched, confirms=trial.number))
    return plan
