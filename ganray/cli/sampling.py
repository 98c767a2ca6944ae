"""`ganray sample`: new samples of a recorded trial, as a picture or as an array."""

import io
from pathlib import Path

import numpy as np

from ganray.data.dataset import Samples
from ganray.data.pictures import draw_alone
from ganray.errors import CheckpointError, OutputError, UnknownSweepError
from ganray.gan.checkpoint import draw, load
from ganray.summary import best_trial, summarize
from ganray.tracking.reader import TrialRow, fetch_sweep
from ganray.tuning.places import CHECKPOINTS, read_file

FORMS = (".png", ".npy")


def check_output(output: Path) -> None:
    """Refuse a file of an unknown kind before anything is loaded.

    Raises:
        OutputError: it is neither a picture nor an array.
    """
    if output.suffix not in FORMS:
        raise OutputError(f"{output}: must end in {' or '.join(FORMS)}")


def draw_samples(content: bytes, count: int, seed: int, label: int | None) -> Samples:
    """Samples [count, ...] from the content of a checkpoint.

    Raises:
        CheckpointError: it is no checkpoint, or its model is not told such a class.
    """
    samples: Samples = draw(load(content), count, seed=seed, label=label).numpy()
    return samples


def read_checkpoint(path: Path) -> bytes:
    """A checkpoint that `ganray train` wrote.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None


def recorded_checkpoint(name: str, trial: str, at: str, tracking_uri: str | None) -> bytes:
    """A checkpoint of a trial of a recorded sweep.

    Args:
        name: of the sweep.
        trial: its number, or `best`.
        at: `last`, or `best`: where the trial had the best objective.
        tracking_uri: as in `summarize`.

    Raises:
        UnknownSweepError: there is no such sweep or trial, or it left no checkpoint.
    """
    row = _row(name, trial, tracking_uri)
    place = f"{row.files}/{CHECKPOINTS[at]}"
    try:
        return read_file(place)
    except FileNotFoundError:
        hint = "; it was stopped, and kept its best: --at best" if row.rule and at == "last" else ""
        raise UnknownSweepError(
            f"trial {row.number} of '{name}' has no {at} checkpoint at {place}{hint}"
        ) from None


def write_samples(samples: Samples, output: Path) -> None:
    """Write samples as the file's name says: a picture (.png) or an array (.npy).

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        output.write_bytes(draw_alone(samples) if output.suffix == ".png" else _npy(samples))
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error.strerror}") from None


def _row(name: str, trial: str, tracking_uri: str | None) -> TrialRow:
    rows = {str(row.number): row for row in fetch_sweep(name, tracking_uri).trials}
    if trial == "best":
        best = best_trial(summarize(name, tracking_uri))
        if best is None:
            raise UnknownSweepError(f"sweep '{name}' has no completed trial; give --trial NUMBER")
        trial = str(best["trial"])
    if trial not in rows:
        raise UnknownSweepError(
            f"sweep '{name}' has no trial {trial}; it has {len(rows)}, or give `best`"
        )
    return rows[trial]


def _npy(samples: Samples) -> bytes:
    out = io.BytesIO()
    np.save(out, samples)
    return out.getvalue()
