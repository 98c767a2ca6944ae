"""The starts of one sweep: when each began and ended, for its hours and for Tune's names."""

from typing import Any

from optuna.study import Study

_ATTEMPTS = "attempts"  # of the study: [{"started": ms since 1970, "ended": the same or None}]


def begin_attempt(study: Study, at: int, last_sign: int) -> int:
    """Note that a sweep starts, or goes on.

    Args:
        study: the sweep's.
        at: now, ms since 1970.
        last_sign: of life of the attempt before, which may have been killed; ms since 1970.

    Returns:
        The number of the attempt, from 1.
    """
    attempts = _closed(study, last_sign)
    study.set_user_attr(_ATTEMPTS, [*attempts, {"started": at, "ended": None}])
    return len(attempts) + 1


def end_attempt(study: Study, at: int) -> None:
    """Note that the last attempt has ended, in ms since 1970."""
    study.set_user_attr(_ATTEMPTS, _closed(study, at))


def first_start(study: Study) -> int:
    """When the sweep began, ms since 1970."""
    return int(_attempts(study)[0]["started"])


def hours_used(study: Study) -> float:
    """The hours of all attempts that have ended."""
    spans = [a["ended"] - a["started"] for a in _attempts(study) if a["ended"] is not None]
    return float(sum(spans)) / 3_600_000.0


def _attempts(study: Study) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = study.user_attrs.get(_ATTEMPTS, [])
    return found


def _closed(study: Study, at: int) -> list[dict[str, Any]]:
    return [
        {**a, "ended": max(at, a["started"]) if a["ended"] is None else a["ended"]}
        for a in _attempts(study)
    ]
