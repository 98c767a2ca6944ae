"""A saved view of MLflow's UI for each sweep: its trials as a table and as charts, in good order.

The UI keeps its views as tags of the experiment. Left to itself it shows trials hidden beneath
their sweep, without a column that says how they ended, and the headline signals' charts last:
sections go by their names, and the one without a name comes after all others.
"""

import base64
import json
import zlib
from typing import Any, Final

from ganray.tracking import images, schema
from ganray.tracking.recorder import SweepRecord

_TAG: Final = "mlflow.sharedViewState."
_FIRST: Final = "Model metrics"  # what the UI calls the section without a name, with the pictures
_PICTURES: Final = "pictures"  # a section of the view's own
_OPEN: Final = ("losses", "gradients", "separation", "samples", "measures")
_CLOSED: Final = ("best", "cost")  # sections that are shown when asked for
_NAME: Final = "attributes.`Run Name`"  # a column that every table has
_METRICS: Final = ("objective", "modes", "modes_covered", "high_quality", "js")


def view_key(sweep: str) -> str:
    """What a link names the view by.

    Args:
        sweep: the identity of the sweep's own run.
    """
    return f"ganray-{sweep}"


def view_tag(sweep: SweepRecord, run_id: str) -> tuple[str, str]:
    """The tag of the experiment, key and value, that is the view of a sweep."""
    state = {
        "searchFilter": f"tags.`{schema.PARENT}` = '{run_id}'",
        "orderByKey": f"metrics.`{schema.metric_of(schema.OBJECTIVE)}`",
        "orderByAsc": sweep.direction == "min",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": _columns(sweep),
        "columnOrder": [_NAME, *_columns(sweep)],  # else metrics, parameters, and tags last
        "compareRunCharts": [_pictures(sweep)],  # beside it, the UI makes one for each metric
        "compareRunSections": _sections(),
        "isAccordionReordered": True,  # else it sorts them again
        "hideEmptyCharts": True,
        "runsHiddenMode": "FIRST_20_RUNS",
    }
    view = {
        "name": sweep.name,
        "createdAt": sweep.started,
        "updatedAt": sweep.started,
        "state": _packed(state),
    }
    return _TAG + view_key(run_id), json.dumps(view)


def _columns(sweep: SweepRecord) -> list[str]:
    """The outcome, then what came out, then what was searched."""
    metrics = [f"metrics.`{schema.metric_of(name)}`" for name in _METRICS]
    params = [f"params.`{name}`" for name in sweep.searched]
    return [f"tags.`{schema.OUTCOME}`", *metrics, *params]


def _sections() -> list[dict[str, Any]]:
    large = {_PICTURES: {"columns": 1, "cardHeight": 720}}
    return [
        {
            "uuid": name,
            "name": name,
            "display": name not in _CLOSED,
            "isReordered": False,
            **large.get(name, {}),
        }
        for name in (_FIRST, _PICTURES, *_OPEN, *_CLOSED)
    ]


def _pictures(sweep: SweepRecord) -> dict[str, Any]:
    """The samples of all trials, at the first update that has some, without their parameters."""
    return {
        "uuid": images.KEY,
        "type": "IMAGE",
        "metricSectionId": _PICTURES,
        "imageKeys": [images.KEY],
        "step": min(sweep.milestones, default=0),
        "showRunParams": False,
        "runsCountToCompare": 20,
        "deleted": False,
        "isGenerated": True,
    }


def _packed(state: dict[str, Any]) -> str:
    """As the UI packs it."""
    packed = zlib.compress(json.dumps(state).encode())
    return f"deflate;{base64.b64encode(packed).decode()}"
