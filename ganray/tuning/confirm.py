"""The best configurations of a finished search, each again with fresh seeds: a second study.

One lucky seed is no result. Confirming trials run their whole budget whatever the judge says, so
that the worst of them, and how many end badly, is what it would be without a pruner.
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import count

import optuna
from optuna.samplers import RandomSampler
from optuna.study import Study

from ganray.errors import UnknownSweepError
from ganray.spec.models import SweepSpec
from ganray.trial import Ending, Outcome, Signals, TrialConfig, derive_seed
from ganray.tuning.space import distributions
from ganray.tuning.study import Assignment, Decision, SweepStudy


class ConfirmStudy(SweepStudy):
    """The study of a sweep's confirming trials, beside that of its search, which has to be over.

    What it asks for follows from the search alone. Its numbers go on where those of the search
    end, so that a number names one trial of the sweep.
    """

    SUFFIX = ".confirm"  # no sweep has a name with a dot

    def __init__(self, spec: SweepSpec, study: Study) -> None:
        super().__init__(spec, study)  # with the sweep's own rules, by which trials are judged
        self.spec = spec.model_copy(update={"prune": None})  # but not stopped
        record = optuna.load_study(study_name=spec.name, storage=study._storage)
        self.first = len(record.get_trials(deepcopy=False))
        self._plan = _plan(SweepStudy(spec, record))

    @property
    def size(self) -> int:
        """How many trials there are to be: fewer than asked for if fewer completed."""
        return len(self._plan)

    def ask(self) -> Assignment | None:
        """The next trial; None when there is no more to confirm."""
        index, is_waiting = self._next()
        if index >= self.size:
            return None
        planned = self._plan[index]
        # a fresh seed need not be one of those that were searched
        point = {name: value for name, value in planned.searched.items() if name != "seed"}
        if not is_waiting:
            self._study.enqueue_trial(point)
        self._study.sampler = RandomSampler(0)  # has nothing to choose
        known = distributions(self.spec)
        trial = self._study.ask({name: known[name] for name in point})
        trial.set_user_attr("config", asdict(planned.config))
        trial.set_user_attr("searched", planned.searched)
        trial.set_user_attr("confirms", planned.confirms)
        self._running[trial.number] = trial
        return replace(planned, number=self.first + trial.number)

    def report(self, number: int, signals: Signals) -> Decision:
        """See `SweepStudy`; only what is not finite ends a trial before its budget."""
        return super().report(number - self.first, signals)

    def finish(self, number: int, outcome: Outcome, reason: str = "") -> Ending | None:
        """See `SweepStudy`."""
        ending = super().finish(number - self.first, outcome, reason)
        return ending and replace(ending, number=number)

    def unfinished(self) -> list[int]:
        """See `SweepStudy`."""
        return [self.first + index for index in super().unfinished()]

    def outcomes(self) -> dict[int, Outcome]:
        """See `SweepStudy`."""
        return {self.first + index: outcome for index, outcome in super().outcomes().items()}

    def config(self, number: int) -> TrialConfig:
        """See `SweepStudy`."""
        asked = len(self._study.get_trials(deepcopy=False))
        if not self.first <= number < self.first + asked:
            raise UnknownSweepError(
                f"sweep '{self.spec.name}' has no trial {number}; it has {self.first + asked}"
            )
        return super().config(number - self.first)


def find_config(spec: SweepSpec, number: int) -> tuple[SweepSpec, TrialConfig]:
    """A recorded sweep, and the configuration of one of its trials, searching or confirming.

    Args:
        spec: has the sweep's name and storage.
        number: of the trial.

    Raises:
        UnknownSweepError: there is no such sweep, or it has no such trial.
    """
    search = SweepStudy.load(spec)
    try:
        confirming = ConfirmStudy.load(spec)
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
