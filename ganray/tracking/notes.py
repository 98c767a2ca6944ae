"""The descriptions of runs in MLflow's UI: Markdown that tells a trial, or a sweep, in a few lines.

The UI shows the beginning of a description and the rest on demand, so what matters comes first.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from ganray.tracking import schema
from ganray.tracking.reader import TrialRow
from ganray.tracking.recorder import SweepRecord, TrialRecord
from ganray.tracking.view import view_key
from ganray.trial import ENDED_LABELS, Ending, Outcome, Signals, StopRecord, best_values

LONGEST: Final = 8_000  # characters that MLflow keeps of a tag
LONGEST_DESCRIPTION: Final = 3_000
LONGEST_REASON: Final = 500
_MARKS: Final = re.compile(r"([\\`*_{}\[\]#|~])")
_AT_LINE_STARTS: Final = re.compile(
    r"^(\d*)([-+=.)])(?=[-+=\s]|$)", re.MULTILINE
)  # of lists and rules
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}  # which have no escape in MLflow's UI

# --- text -----------------------------------------------------------------------------------------


def escape(text: str) -> str:
    """Text that Markdown shows as it is; its lines and empty lines stay."""
    plain = "\n".join(line.strip() for line in text.strip().splitlines())
    plain = re.sub("[&<>]", lambda found: _ENTITIES[found[0]], plain)
    return _AT_LINE_STARTS.sub(r"\1\\\2", _MARKS.sub(r"\\\1", plain))


def code(text: str) -> str:
    """Text as code, on one line, whatever is in it."""
    line = " ".join(text.split())
    return f"`{line}`" if "`" not in line else f"`` {line} ``"


def _brief(text: str, longest: int) -> str:
    return escape(text if len(text) <= longest else f"{text[:longest].rstrip()} …")


def _reason(text: str) -> str:
    """On one line."""
    return _brief(" ".join(text.split()), LONGEST_REASON)


# --- links ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses within MLflow's UI, wherever that is served from; it opens as for training.

    Args:
        experiment: the identity of the sweep's experiment.
        sweep: the identity of the sweep's own run.
    """

    experiment: str
    sweep: str

    def run(self, run_id: str) -> str:
        """The page of a run."""
        return f"#/experiments/{self.experiment}/runs/{run_id}?workflowType=machine_learning"

    def model(self, model_id: str) -> str:
        """The page of a model."""
        return f"#/experiments/{self.experiment}/models/{model_id}?workflowType=machine_learning"

    def view(self, *, charts: bool = False) -> str:
        """All trials of the sweep, as its saved view has them: as a table, or as charts."""
        mode = "&compareRunsMode=CHART" if charts else ""
        return (
            f"#/experiments/{self.experiment}/runs?workflowType=machine_learning{mode}"
            f"&viewStateShareKey={view_key(self.sweep)}"
        )

    def trials(self, direction: str, outcome: Outcome) -> str:
        """The sweep's trials that ended so, the best objective first."""
        where = f"tags.`{schema.PARENT}` = '{self.sweep}' and tags.`{schema.OUTCOME}` = '{outcome}'"
        order = quote(f"metrics.`{schema.metric_of(schema.OBJECTIVE)}`", safe="")
        ascending = "true" if direction == "min" else "false"
        return (
            f"#/experiments/{self.experiment}/runs?workflowType=machine_learning"
            f"&searchFilter={quote(where, safe='')}&orderByKey={order}&orderByAsc={ascending}"
        )


def _link(text: str, address: str) -> str:
    return f"[{text}]({address})"


# --- a trial --------------------------------------------------------------------------------------


def trial_note(trial: TrialRecord, ending: Ending, sweep: SweepRecord, links: Links) -> str:
    """What was trained, what became of it and why, and where the rest of it lies."""
    of = f"trial {trial.number} of {_link(escape(sweep.name), links.run(links.sweep))}"
    if trial.confirms is not None:
        of += f", which confirms trial {trial.confirms} with another seed"
    paragraphs = [f"{_training(trial.params)}: {of}.", _fate(ending, sweep)]
    if ending.history:
        paragraphs.append(_files(trial, ending, sweep.name, links))
    return "\n\n".join(paragraphs)[:LONGEST]


def _training(params: Mapping[str, Any]) -> str:
    """Such as `**wgan**, D:G 5:1, weights of D clipped at 0.01, learning rates …`."""
    if params["model"] != "gan":
        return f"**{escape(params['model'])}**, learning rate {params['g_lr']:.2g}"
    parts = [f"**{escape(params['loss'])}**", f"D:G {params['d_steps']}:{params['g_steps']}"]
    parts += _bounds(params) or ["nothing clipped or penalised"]
    parts.append(f"learning rates {params['d_lr']:.2g} (D) and {params['g_lr']:.2g} (G)")
    return ", ".join(parts)


def _bounds(params: Mapping[str, Any]) -> list[str]:
    """What holds the networks back, as far as anything does."""
    clips = {
        "weight_clip": "weights of D clipped at {:.2g}",
        "g_weight_clip": "weights of G clipped at {:.2g}",
        "d_grad_clip": "gradient of D clipped at {:.2g}",
        "g_grad_clip": "gradient of G clipped at {:.2g}",
    }
    found = [text.format(params[key]) for key, text in clips.items() if params[key] is not None]
    if params["spectral_norm"]:
        found.append("spectral norm")
    if params["penalty"] != "none":
        weight = params["penalty_weight"]
        of = "" if weight is None else f" of weight {weight:.2g}"
        found.append(f"penalty {escape(params['penalty'])}{of}")
    return found


def _fate(ending: Ending, sweep: SweepRecord) -> str:
    """How it ended, and why."""
    update = ending.history[-1].update if ending.history else 0
    if ending.outcome is Outcome.COMPLETED:
        how = f"It **completed** its {sweep.updates:,} updates"
        how += f" and ended {ENDED_LABELS[ending.ended]}" if ending.ended else ""
    else:
        share = update / sweep.updates
        how = f"It **{ending.outcome}** at update {update:,} of {sweep.updates:,} ({share:.0%})"
        how = how.replace(f"**{Outcome.CANCELLED}**", "was **cancelled**")
        how = how.replace(f"**{Outcome.OUTRANKED}**", "was **outranked**")
    values = ", ".join(_values(ending.history, sweep.objective))
    return f"{how}{f': {values}' if values else ''}. {_why(ending)}".strip()


def _values(history: Sequence[Signals], objective: str) -> Iterator[str]:
    """Such as `distance 0.31 (best 0.12)`, of what was ever defined."""
    best = best_values(history)
    for name in dict.fromkeys((objective, "distance", "modes")):
        values = [value for s in history if (value := getattr(s, name)) is not None]
        if values:
            at_best = f" (best {best[name]:.3g})" if name in best else ""
            yield f"{escape(name)} {values[-1]:.3g}{at_best}"


def _why(ending: Ending) -> str:
    if ending.stop is not None:
        return f"Stopped by the rule {_grounds(ending.stop)}."
    if ending.would_be is not None:
        would = f"update {ending.would_be.update:,} by the rule {_grounds(ending.would_be)}"
        return f"It is audited: it would have been stopped at {would}."
    if ending.outcome is Outcome.COMPLETED:
        return ""
    cause = f"{escape(ending.cause)}: " if ending.cause is not None else ""
    return f"The reason: {cause}{_reason(ending.reason)}." if ending.reason else ""


def _grounds(stop: StopRecord) -> str:
    return f"{code(stop.rule)}: {_reason(stop.reason)}"


def _files(trial: TrialRecord, ending: Ending, sweep: str, links: Links) -> str:
    charts = _link("charts of all trials", links.view(charts=True))
    grid = f"Its samples by update are among the {charts}"
    folder = f"; its files lie in {code(trial.files)}" if trial.files else ""
    completed = ending.outcome is Outcome.COMPLETED
    if not completed and ending.stop is None:  # nobody knows what it left
        return f"{grid}{folder}."
    pictures = "`best.png`" + ("" if completed and not ending.audited else " and `stop.png`")
    at = "" if completed else " --at best"
    sample = code(f"ganray sample {sweep} --trial {trial.number}{at}")
    return f"{grid}, {pictures} under Artifacts{folder}; {sample} draws more from its checkpoint."


# --- a sweep --------------------------------------------------------------------------------------


def sweep_note(
    sweep: SweepRecord,
    outcomes: Mapping[int, Outcome],
    best: TrialRow | None,
    links: Links,
    *,
    model: str | None = None,
    cancelled: bool,
) -> str:
    """What it asked, how its trials ended, which is the best, and what the artifacts tell.

    Args:
        sweep: as it started.
        outcomes: of all trials, searching and confirming.
        best: completed trial of the search, if any completed.
        links: of the sweep.
        model: the identity of the best generator as a model, if it is one.
        cancelled: whether it was stopped before its end.
    """
    found = [description(sweep), _endings(sweep, outcomes, links, cancelled=cancelled)]
    found += [_best(best, sweep, links, model), _artifacts(sweep)]
    return "\n\n".join(filter(None, found))[:LONGEST]


def description(sweep: SweepRecord) -> str:
    """What the sweep file says, "" if it says nothing."""
    return _brief(sweep.description or "", LONGEST_DESCRIPTION)


def _endings(
    sweep: SweepRecord, outcomes: Mapping[int, Outcome], links: Links, *, cancelled: bool
) -> str:
    found = list(outcomes.values())
    counts = [
        _link(f"{found.count(outcome)} {outcome}", links.trials(sweep.direction, outcome))
        for outcome in Outcome
        if outcome in found
    ]
    if not counts:
        return f"It was {'stopped' if cancelled else 'over'} before a trial ended."
    table, charts = _link("table", links.view()), _link("charts", links.view(charts=True))
    how = "It was **stopped**" if cancelled else "It **ended**"
    return f"{how} with {len(found)} trials ({table}, {charts}): {', '.join(counts)}."


def _best(best: TrialRow | None, sweep: SweepRecord, links: Links, model: str | None) -> str:
    if best is None:
        return "No trial completed, so that there is no best."
    values = {schema.OBJECTIVE: f"{escape(sweep.objective)} {{:.3g}}", "modes": "{:.3g} modes"}
    told = [text.format(best.metrics[k]) for k, text in values.items() if k in best.metrics]
    of = escape(str(best.params.get("loss", "")))
    address = links.run(best.run_id)
    found = f"The best is {_link(f'trial {best.number} ({of})', address)}: {', '.join(told)}."
    if model is None:
        return found
    load = code(f'mlflow.pyfunc.load_model("models:/{model}")')
    return f"{found} Its generator is {_link('a model', links.model(model))}: {load}."


def _artifacts(sweep: SweepRecord) -> str:
    told = {
        schema.SWEEP_FILE: "the sweep, to run it again",
        schema.ENVIRONMENT_FILE: "what it ran on",
        schema.REAL_PICTURE: "real data",
        schema.LEDGER_FILE: "what trials used and stopping saved, by rule",
    }
    if sweep.confirming:
        told[schema.CONFIRMATION] = "how the best did with fresh seeds"
    lines = "; ".join(f"{code(file)}: {what}" for file, what in told.items())
    summary, report = (code(f"ganray {command} {sweep.name}") for command in ("summary", "report"))
    return (
        f"Artifacts: {lines}. {summary} tells all trials, {report} writes the report, which "
        "`ganray run` adds here."
    )
