"""A sweep driven as Ray would drive it, without Ray: the same search, scheduler and files."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import torch
from PIL import Image
from ray.tune.schedulers import TrialScheduler

from ganray.gan.checkpoint import dump
from ganray.gan.real import RealData
from ganray.gan.trainer import make_trainer
from ganray.spec.load import dump_sweep
from ganray.spec.models import SweepSpec
from ganray.tracking.recorder import Recorder
from ganray.tracking.schema import REAL_PICTURE
from ganray.trial import Signals, TrialConfig
from ganray.tuning.confirm import ConfirmStudy
from ganray.tuning.places import (
    BEST_CHECKPOINT,
    BEST_PICTURE,
    CHECKPOINT,
    samples_name,
    sweep_location,
    trial_location,
    write_file,
)
from ganray.tuning.ray_hooks import StudyScheduler, StudySearch
from ganray.tuning.roster import Roster, SweepLimits
from ganray.tuning.study import SweepStudy
from ganray.tuning.sync import tell_start
from tests.conftest import signals_at, sweep_record

DIES = object()  # what a driver does at a report: nothing more, ever


class Died(Exception):
    """The driver was killed."""


def picture(size: int = 16) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((size, size), 50).save(out, "PNG")
    return out.getvalue()


def signals_of(number: int, update: int) -> Signals:
    """What trial `number` reports at an update, in every run of it."""
    return signals_at(
        update,
        distance=1.0 / (1.0 + number + update),
        modes=8.0 - number % 3,
        mode_ratio=1.0,
        measure_seconds=0.001,
    )


def drive(
    spec: SweepSpec,
    recorders: Sequence[Recorder],
    at_report: Callable[[int, int], object] = lambda number, update: None,
) -> SweepStudy:
    """Run a new sweep, one trial after another, and what confirms it; then tell that it ended.

    Args:
        spec: the sweep; its last report has to be a milestone.
        recorders: who hears of it; they are not closed.
        at_report: called with the trial and the update, when both are told; where it gives `DIES`,
            the driver does nothing more.
    """
    study = SweepStudy.create(spec)
    record = sweep_record(
        name=spec.name,
        study_id=study.id,
        sweep_file=dump_sweep(spec),
        trials=study.size,
        updates=spec.budget.updates,
    )
    study.describe(asdict(record))
    write_file(sweep_location(spec), REAL_PICTURE, picture())
    tell_start(study, recorders)
    studies = [study]
    try:
        run_trials(study, recorders, at_report)
        if spec.confirm.trials:
            studies.append(ConfirmStudy.create(spec))
            for recorder in recorders:
                recorder.start_confirming(studies[-1].size)
            run_trials(studies[-1], recorders, at_report)
    except Died:
        return study
    outcomes = {n: outcome for each in studies for n, outcome in each.outcomes().items()}
    for recorder in recorders:
        recorder.end_sweep(outcomes, cancelled=False)
    return study


def run_trials(
    study: SweepStudy,
    recorders: Sequence[Recorder],
    at_report: Callable[[int, int], object] = lambda number, update: None,
) -> None:
    """Run what a study asks for."""
    roster = Roster(study, recorders, SweepLimits(None, 99), lambda: 1)
    search, scheduler = StudySearch(roster), StudyScheduler(roster)
    with _closing(scheduler):
        while (config := search.suggest("tune")) != "FINISHED":
            assert config is not None
            number = config["number"]
            trial: Any = SimpleNamespace(trial_id=f"tune-{number}", config=config)
            for update in study.spec.budget.report_updates():
                told = scheduler.on_trial_result(None, trial, result(study, number, update))
                if at_report(number, update) is DIES:
                    raise Died
                if told == TrialScheduler.STOP:
                    break


def result(study: SweepStudy, number: int, update: int) -> dict[str, Any]:
    """What a worker tells of a report, and the files that it writes before."""
    folder = trial_location(study.spec, number)
    last = update == study.spec.budget.updates
    told: dict[str, Any] = {"signals": signals_of(number, update)}
    told["pictures"] = ((update, write_file(folder, samples_name(update), picture())),)
    if last:
        names = (BEST_PICTURE, BEST_CHECKPOINT)
        for name in names:
            write_file(folder, name, picture(24))
        told["kept"] = names
    return told


def leave_checkpoint(folder: str) -> bytes:
    """What a trial leaves in its folder at its end, of a small generator and the average of it."""
    networks = {"name": "mlp", "width": 8, "depth": 1}
    data = RealData(torch.randn(64, 2, generator=torch.Generator().manual_seed(0)))
    trainer = make_trainer(TrialConfig(batch_size=8, ema=0.9), networks, data)
    trainer.advance(4)
    content = dump(trainer, networks)
    write_file(folder, CHECKPOINT, content)
    return content


@contextmanager
def _closing(scheduler: StudyScheduler) -> Iterator[None]:
    try:
        yield
    finally:
        scheduler.close()
