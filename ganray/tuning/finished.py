"""Whether a recorded sweep has anything left to train: told by its study, without Ray."""

from collections.abc import Sequence
from dataclasses import dataclass

from ganray.tuning.changes import changed
from ganray.tuning.confirm import studies_of
from ganray.tuning.places import Located
from ganray.tuning.study import SweepStudy


@dataclass(frozen=True, slots=True)
class Finished:
    """A sweep without a trial that is left to train."""

    trials: int  # of its search
    confirming: int  # that followed


def find_finished(place: Located, settings: Sequence[str] = ()) -> Finished | None:
    """What a sweep has had, if that is all of it; None if resuming it would train something.

    Args:
        place: the sweep's name and storage.
        settings: what is to be different, in the words of `--set`.

    Raises:
        UnknownSweepError: there is no such sweep.
        SpecError: a setting would make it another sweep.
    """
    search, *confirming = studies_of(SweepStudy.load(place))
    before = search.spec
    search.spec = changed(before, settings, asked=search.asked, confirming=bool(confirming))
    if search.spec.tracking != before.tracking:  # another store is to hear of it
        return None
    if search.spec.confirm.trials and not confirming and search.best(1):
        return None
    if not all(study.is_over and not study.resumable() for study in (search, *confirming)):
        return None
    return Finished(search.size, sum(study.size for study in confirming))
