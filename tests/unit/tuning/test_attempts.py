"""The starts of a sweep, and the hours that they took."""

import optuna
import pytest

from ganray.tuning.attempts import begin_attempt, end_attempt, hours_used

HOUR = 3_600_000


def test_attempts_are_numbered_and_their_hours_added() -> None:
    study = optuna.create_study()
    assert hours_used(study) == 0.0
    assert begin_attempt(study, 10 * HOUR, 0) == 1
    assert hours_used(study) == 0.0  # it is still running
    end_attempt(study, 12 * HOUR)
    assert begin_attempt(study, 20 * HOUR, 12 * HOUR) == 2
    end_attempt(study, 20 * HOUR + HOUR // 2)
    assert hours_used(study) == pytest.approx(2.5)


def test_attempt_that_was_killed_lasted_until_its_last_sign_of_life() -> None:
    study = optuna.create_study()
    begin_attempt(study, 10 * HOUR, 0)
    begin_attempt(study, 50 * HOUR, 13 * HOUR)
    assert hours_used(study) == pytest.approx(3.0)
    begin_attempt(study, 60 * HOUR, 13 * HOUR)  # the second was killed before its first report
    assert hours_used(study) == pytest.approx(3.0)
