"""What decisions are worth: counts, intervals, savings, regret, and what cannot be known."""

import csv
import io
import json
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from ganray.trial import Outcome
from ganray.tuning.replay.catalogue import BUILT_IN, make_policies
from ganray.tuning.replay.compare import Comparison, compare
from ganray.tuning.replay.evaluate import Evaluation, bounds_note, evaluate
from ganray.tuning.replay.export import as_csv, as_json
from ganray.tuning.replay.histories import History
from ganray.tuning.replay.intervals import bootstrap_ratio, cluster_weights
from ganray.tuning.replay.policies import Stopped
from ganray.tuning.replay.regret import regrets
from ganray.tuning.replay.truth import Kind, label
from tests.conftest import past

GOOD = {"distance": 0.05, "mode_ratio": 1.0, "high_quality": 0.9, "js": 0.1}
POOR = {"distance": 0.2, "mode_ratio": 0.8, "high_quality": 0.9, "js": 0.2}
DEAD = {"distance": 0.9, "mode_ratio": 0.1, "high_quality": 0.9, "js": 0.3}
PEAK = [*[GOOD] * 5, *[DEAD] * 5]


class Fixed:
    """Stops the trials that it is told to, by number, after given reports."""

    name = "fixed"

    def __init__(self, at: dict[int, int], *, alone: bool = True, measures: bool = True) -> None:
        self.at, self.alone, self.measures = at, alone, measures
        self.seeds: list[int] = []

    def decide(self, histories: Iterable[History], seed: int = 0) -> Iterator[Stopped | None]:
        self.seeds.append(seed)
        for history in histories:
            index = self.at.get(history.number)
            yield None if index is None else Stopped(index, "collapsed", "why", f"r{index}")


def judged(policy: Fixed, histories: list[History]) -> Evaluation:
    stops = list(policy.decide(histories))
    return evaluate(policy, histories, label(histories), stops)


def sweep() -> list[History]:
    """Two bad, two healthy, one between, one that peaked, one cut short."""
    kinds = [[DEAD] * 10, [DEAD] * 10, [GOOD] * 10, [GOOD] * 10, [POOR] * 10, PEAK, [DEAD] * 4]
    return [past(i, reports) for i, reports in enumerate(kinds)]


def test_stopped_trials_are_counted_by_what_became_of_them() -> None:
    found = judged(Fixed({0: 3, 2: 0, 5: 1, 6: 2}), sweep())
    counts = {name: (tally.stopped, tally.total) for name, tally in found.tallies.items()}
    assert counts == {
        "bad": (2, 3),
        "healthy": (1, 2),
        "between": (0, 1),
        "unknown": (1, 1),
        "top": (1, 2),
        "peaked": (1, 1),
    }
    assert found.tallies["bad"].share == pytest.approx(2 / 3)
    assert found.median_stop == pytest.approx(0.3)  # of 0.4 and 0.2
    (lost,) = found.lost
    assert (lost.trial, lost.rule, lost.update, lost.share) == (2, "r0", 100, 0.1)


def test_stop_before_the_best_report_is_told() -> None:
    rising = [{**POOR, "distance": 0.3 - 0.01 * i} for i in range(10)]
    for index, before in ((8, 1), (9, 0)):
        found = judged(Fixed({0: index}), [past(0, rising)])
        assert found.tallies["between"].before_best == before


def test_savings_are_what_was_left_of_stopped_trials() -> None:
    found = judged(Fixed({0: 3, 2: 4}, measures=False), sweep())
    assert found.savings["bad_updates"].gross == pytest.approx(600 / 3000)
    assert found.savings["all_updates"].gross == pytest.approx(1100 / 6000)  # without the unknown
    assert found.savings["all_updates"].net == found.savings["all_updates"].gross


def test_measuring_is_a_cost_up_to_the_stop_or_the_end() -> None:
    # a report takes a fifth of the time that its training takes; seconds double in the second trial
    fast = past(0, [{**DEAD, "measure_seconds": 0.02}] * 10)
    slow = [{**DEAD, "seconds": 0.2 * (i + 1), "measure_seconds": 0.04} for i in range(10)]
    histories = [fast, past(1, slow)]
    found = judged(Fixed({0: 4}), histories).savings
    assert found["bad_updates"].gross == pytest.approx(500 / 2000)
    assert found["bad_updates"].net == pytest.approx((500 - 5 * 20 - 10 * 20) / 2000)
    assert found["bad_seconds"].gross == pytest.approx(0.5 / 3.0)
    assert found["bad_seconds"].net == pytest.approx((0.5 - 5 * 0.02 - 10 * 0.04) / 3.0)
    free = judged(Fixed({}, measures=False), histories).savings
    assert free["all_seconds"].net == free["all_updates"].net == 0.0


def test_nothing_is_said_of_what_is_not_there() -> None:
    found = judged(Fixed({}), [past(0, [GOOD] * 10), past(1, [DEAD] * 3)])
    bad = found.tallies["bad"]
    assert (bad.share, bad.wilson, bad.bootstrap) == (None, None, None)
    assert found.savings["bad_updates"] is None
    assert found.median_stop is None


# --- intervals ------------------------------------------------------------------------------------


def test_seeds_of_one_setting_are_drawn_together() -> None:
    weights = cluster_weights(["a", "a", "b", "c"])
    assert weights.shape == (1_000, 4)
    assert np.array_equal(weights[:, 0], weights[:, 1])
    assert np.array_equal(weights[:, 1:].sum(axis=1), np.full(1_000, 3.0))
    assert np.array_equal(weights, cluster_weights(["x", "x", "y", "z"]))


def test_interval_of_few_settings_is_wider_than_that_of_many_trials() -> None:
    hit = np.array([1.0] * 20 + [0.0] * 20)
    one = np.ones(40)
    many = bootstrap_ratio(cluster_weights(range(40)), hit, one)
    few = bootstrap_ratio(cluster_weights([i // 10 for i in range(40)]), hit, one)
    assert 0.3 < many[0] < 0.4 < 0.6 < many[1] < 0.7
    assert (few[0], few[1]) == (0.0, 1.0)
    assert bootstrap_ratio(cluster_weights(range(2)), np.zeros(2), np.zeros(2)) is None


def test_seeds_of_one_setting_hang_together_also_in_sweeps_of_their_own() -> None:
    config = {"loss": "hinge", "d_lr": 0.1}

    def interval(data: str) -> tuple[float, float] | None:
        histories = [
            past(0, [DEAD] * 10, config=config, source="one", data="ring"),
            past(1, [DEAD] * 10, config=config, source="two", data=data),
        ]
        return judged(Fixed({0: 3}), histories).tallies["bad"].bootstrap

    assert interval("ring") == (0.5, 0.5)  # one setting, always drawn whole
    assert interval("grid") == (0.0, 1.0)


def test_settings_are_clusters_in_an_evaluation() -> None:
    config = {"loss": "hinge", "d_lr": 0.1}
    seeds = [past(i, [DEAD] * 10, config=config) for i in range(9)]
    other = past(9, [DEAD] * 10, config={**config, "d_lr": 0.2})
    bad = judged(Fixed(dict.fromkeys(range(9), 0)), [*seeds, other]).tallies["bad"]
    assert bad.bootstrap == (0.0, 1.0)
    assert bad.wilson[0] > 0.5


# --- what cannot be known -------------------------------------------------------------------------


def test_histories_that_were_cut_short_make_bounds() -> None:
    cut = past(1, [DEAD] * 4, outcome=Outcome.COLLAPSED)
    broken = past(2, [DEAD] * 4, outcome=Outcome.CRASHED)
    whole = past(0, [GOOD] * 10)
    assert bounds_note([whole, past(3, [GOOD, {"nonfinite": "loss of D"}])]) is None
    note = bounds_note([whole, cut, broken])
    assert note.startswith(
        "2 of 3 histories were cut short (1 by the pruner of their own sweep, 1 crashed or "
        "cancelled): what became of them is unknown"
    )
    assert "lower bounds" in note
    assert "of the 1 histories" in note
    assert "crashed" not in bounds_note([whole, cut])
    assert "by the pruner" not in bounds_note([whole, broken])


def test_trials_cut_short_are_in_no_share() -> None:
    whole = [past(0, [DEAD] * 10), past(1, [GOOD] * 10)]
    cut = [past(2 + i, [DEAD] * 4) for i in range(5)]
    policy = Fixed({0: 1, 2: 1, 3: 1})
    alone, both = judged(policy, whole), judged(policy, [*whole, *cut])
    for name in ("bad", "healthy", "top"):
        assert both.tallies[name].share == alone.tallies[name].share
    gross = [found.savings["all_updates"].gross for found in (alone, both)]
    assert gross[0] == gross[1]
    assert both.tallies["unknown"].stopped == 2


# --- regret ---------------------------------------------------------------------------------------


def test_no_pruning_has_no_regret() -> None:
    found = regrets(Fixed({}), sweep(), 50)
    assert [(r.trials, r.median, r.interval, r.resamples) for r in found] == [
        (16, 0.0, (0.0, 0.0), 50),
        (32, 0.0, (0.0, 0.0), 50),
    ]


def test_policy_that_stops_the_best_regrets_it() -> None:
    histories = sweep()
    spared = regrets(Fixed({2: 0, 3: 0}), histories, 100)
    assert [r.median for r in spared] == pytest.approx([0.15, 0.15])  # the next best is POOR
    none_left = regrets(Fixed(dict.fromkeys(range(7), 0)), histories, 20)
    assert [r.median for r in none_left] == pytest.approx([0.85, 0.85])  # as the worst


def test_policy_that_stops_the_bad_sees_more_trials() -> None:
    dead = [past(i, [DEAD] * 10) for i in range(60)]
    luck = [past(60 + i, [{**GOOD, "distance": 0.01 * i}] * 10) for i in range(4)]
    found = regrets(Fixed(dict.fromkeys(range(60), 0)), [*dead, *luck], 200)
    assert found[0].median < 0.0
    assert found[0].interval[1] <= 0.0


def test_larger_objective_may_be_better() -> None:
    values = [{**GOOD, "modes": float(modes)} for modes in (8, 2)]
    histories = [past(i, [v] * 10, metric="modes", direction="max") for i, v in enumerate(values)]
    assert [r.median for r in regrets(Fixed({0: 0}), histories, 50)] == [6.0, 6.0]


def test_policies_that_compare_trials_see_each_stream_and_fewer_of_them() -> None:
    alone = regrets(Fixed({2: 0, 3: 0}), sweep(), 40)
    policy = Fixed({2: 0, 3: 0}, alone=False)
    found = regrets(policy, sweep(), 40)
    assert policy.seeds == [0, 1, 2, 3]
    assert [r.resamples for r in found] == [4, 4]
    assert [r.median for r in found] == pytest.approx([r.median for r in alone])


def test_trial_that_ended_by_itself_is_no_end_to_choose() -> None:
    lucky = past(0, [{**GOOD, "distance": 0.0}] * 9 + [{"nonfinite": "loss of D"}])
    assert regrets(Fixed({}), [lucky], 5) == []
    found = regrets(Fixed({1: 0}), [lucky, past(1, [POOR] * 10)], 20)
    assert [r.median for r in found] == [0.0, 0.0]  # there is no other end


# --- side by side ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compared() -> Comparison:
    reports = [[DEAD] * 10, [GOOD] * 10, [POOR] * 10, PEAK, [DEAD] * 4, [GOOD] * 10]
    histories = [past(i, values) for i, values in enumerate(reports * 3)]
    return compare(make_policies([], histories), histories, resamples=10)


def test_all_policies_stand_side_by_side(compared: Comparison) -> None:
    assert tuple(e.policy for e in compared.evaluations) == BUILT_IN
    assert compared.sources == {"ring-1": 18}
    assert compared.truth == {
        "bad": 6,
        "healthy": 6,
        "between": 3,
        "unknown": 3,
        "top": 4,
        "peaked": 3,
    }
    assert compared.updates == 3 * 5_400


def test_json_holds_every_figure_and_no_nan(compared: Comparison) -> None:
    text = json.dumps(as_json(compared), allow_nan=False)
    document = json.loads(text)
    assert document["histories"] == 18
    assert document["note"].startswith("3 of 18 histories were cut short")
    rows = {row["policy"]: row for row in document["policies"]}
    assert rows["none"]["stopped"]["bad"]["stopped"] == 0
    modes = rows["modes"]
    assert modes["stopped"]["bad"] | {"bootstrap": 0, "wilson": 0} == {
        "total": 6,
        "stopped": 6,
        "before_best": 0,
        "share": 1.0,
        "bootstrap": 0,
        "wilson": 0,
    }
    assert modes["saved"]["bad_updates"]["gross"] == pytest.approx((700 + 200) / 2_000)
    assert [r["trials"] for r in modes["regret"]] == [16, 32]
    lost = rows["successive_halving"]["healthy_lost"]
    assert all(row["rule"] == "successive_halving" for row in lost)


def test_csv_has_a_row_for_each_stop(compared: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(compared))))
    assert len(rows) == sum(len(e.decisions) for e in compared.evaluations)
    first = next(row for row in rows if row["policy"] == "modes")
    assert first == {
        "policy": "modes",
        "sweep": "ring-1",
        "trial": "0",
        "kind": "bad",
        "top": "False",
        "update": "300",
        "share": "0.3",
        "outcome": "collapsed",
        "rule": "modes",
        "reason": "few modes at three reports in a row",
    }


def test_unknown_alone_can_be_compared() -> None:
    histories = [past(i, [DEAD] * 4) for i in range(3)]
    found = compare(make_policies([], histories), histories, resamples=2)
    assert found.truth["unknown"] == 3
    assert found.regrets == [[]] * len(BUILT_IN)
    json.dumps(as_json(found), allow_nan=False)


def test_lost_are_the_healthy_ones(compared: Comparison) -> None:
    for evaluation in compared.evaluations:
        assert len(evaluation.lost) == evaluation.tallies[Kind.HEALTHY].stopped
