"""The generator of a sweep's best trial: exported once, at the end, for whoever records it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial

from ganray.secrets import redacted_log
from ganray.tracking.recorder import BestGenerator, ExportedGenerator, Recorder
from ganray.trial import GeneratorSignature
from ganray.tuning.diagnosis import diagnose
from ganray.tuning.places import GENERATOR, read_file, trial_location
from ganray.tuning.study import Assignment, SweepStudy

log = redacted_log("ganray.tuning")

Export = Callable[[str], GeneratorSignature]  # as `export_file`, perhaps elsewhere


def best_generator(
    study: SweepStudy, recorders: Sequence[Recorder], export: Export
) -> BestGenerator | None:
    """What recorders are told of the best trial's generator; None if none completed or none asks.

    That it cannot be exported is told, too, and is no fault of the sweep.

    Args:
        study: of the search.
        recorders: who may ask for it.
        export: what to export it with.
    """
    best = wanted(study, recorders)
    return None if best is None else _exported(study, best, export)


def wanted(study: SweepStudy, recorders: Sequence[Recorder]) -> Assignment | None:
    """The best trial so far, if some recorder wants its generator."""
    register = study.spec.tracking.register_as
    for best in study.best(1):
        if any(recorder.wants_generator(best.number, register) for recorder in recorders):
            return best
    return None


def _exported(study: SweepStudy, best: Assignment, export: Export) -> BestGenerator:
    folder = trial_location(study.spec, best.number)
    exported, problem = None, ""
    try:
        read = partial(read_file, f"{folder}/{GENERATOR}")
        exported = ExportedGenerator(load=read, signature=export(folder))
    except Exception as error:
        problem = diagnose(error)[1]
        log.warning("the generator of trial %d is not exported: %s", best.number, problem)
    return BestGenerator(
        number=best.number,
        params=asdict(best.config),
        exported=exported,
        problem=problem,
        register=study.spec.tracking.register_as,
    )
