"""Summaries as `summarize` gives them, made up trial by trial."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ganray.trial import SIGNALS

BLANK: dict[str, Any] = {
    **dict.fromkeys(SIGNALS),
    "phase": "search",
    "outcome": "completed",
    "ending": "healthy",
    "objective": 0.1,
}


def summary(trials: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A frame with a row for each trial; what a trial does not say is missing."""
    names = {name: None for trial in trials for name in trial}
    columns = list({"trial": None, **BLANK, **names})
    records = [{**BLANK, "trial": number, **trial} for number, trial in enumerate(trials)]
    frame = pd.DataFrame.from_records(records, columns=columns).convert_dtypes()
    frame.attrs = {"direction": "min", "objective": "distance"}
    return frame
