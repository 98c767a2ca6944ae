"""What a trial is called in a list of runs: the settings that tell it from its neighbours."""

from collections.abc import Iterator
from typing import Any, Final

from ganray.tracking.recorder import TrialRecord

LONGEST: Final = 60  # characters of a name
# searched parameters that say most; the others follow in the order of the sweep file
_FIRST: Final = (
    "penalty",
    "penalty_weight",
    "spectral_norm",
    "d_grad_clip",
    "g_grad_clip",
    "pack",
    "d_lr",
    "g_lr",
)
_SAID: Final = {"model", "loss", "d_steps", "g_steps", "weight_clip"}  # in every name


def run_name(trial: TrialRecord) -> str:
    """Such as `17 wgan k=5 clip=0.01 d_lr=0.0002`; `40 confirms 17 wgan …`.

    The number, the loss, D's updates for one of G if these are not alternate (`k=5`, `5:2`), the
    clip of D's weights; then searched parameters that are not off, as many as there is room for.
    """
    name = " ".join(_always(trial))
    for text in _searched(trial):
        if len(name) + 1 + len(text) > LONGEST:
            break
        name += f" {text}"
    return name


def _always(trial: TrialRecord) -> Iterator[str]:
    params = trial.params
    yield str(trial.number)
    if trial.confirms is not None:
        yield f"confirms {trial.confirms}"
    if params["model"] != "gan":
        yield params["model"]  # the rest is of GANs
        return
    yield params["loss"]
    d_steps, g_steps = params["d_steps"], params["g_steps"]
    if g_steps != 1:
        yield f"{d_steps}:{g_steps}"
    elif d_steps != 1:
        yield f"k={d_steps}"
    if params["weight_clip"] is not None:
        yield f"clip={_short(params['weight_clip'])}"


def _searched(trial: TrialRecord) -> Iterator[str]:
    searched = [n for n in (*_FIRST, *trial.searched) if n in trial.searched and n not in _SAID]
    for name in dict.fromkeys(searched):
        value = trial.params[name]
        if value in (None, False, "none"):
            continue
        if value is True:
            yield name
        else:
            yield str(value) if name == "penalty" else f"{name}={_short(value)}"


def _short(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)
