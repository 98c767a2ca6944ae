"""Rules judged on trials that had no part in fitting them."""

from dataclasses import replace

import numpy as np

from ganray.trial import Outcome
from ganray.tuning.replay.catalogue import decide
from ganray.tuning.replay.crossfit import by_data, by_loss, examples, held_out, held_out_models
from ganray.tuning.replay.fitting import BAD, BETWEEN, HEALTHY, fit
from ganray.tuning.replay.histories import History
from ganray.tuning.replay.truth import label
from tests.conftest import past

LOSSES = ("hinge", "lsgan", "wgan")


def trials(count: int = 12) -> list[History]:
    """Of each loss as many healthy trials as bad ones, the latter dead from the start."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(count * len(LOSSES)):
        modes = 0.95 if number % 2 else 0.05
        reports = [
            {
                "mode_ratio": modes * rng.uniform(0.95, 1.0),
                "distance": 0.05 if number % 2 else rng.uniform(1.0, 2.0),
                "high_quality": 0.9 if number % 2 else 0.1,
                "js": rng.uniform(0.1, 0.6),
                "velocity": 0.1,
            }
            for _ in range(20)
        ]
        loss = LOSSES[number // 2 % len(LOSSES)]
        config = {"loss": loss, "d_lr": number}
        found.append(past(number, reports, config=config, searched=("loss", "d_lr"), budget=2_000))
    return found


def test_each_group_has_a_model_that_it_had_no_part_in() -> None:
    histories = trials()
    truths = label(histories)
    models = held_out_models(histories, truths, by_loss)
    assert set(models) == set(LOSSES)
    for loss, model in models.items():
        kept = [i for i, history in enumerate(histories) if by_loss(history) != loss]
        assert model == fit(examples([histories[i] for i in kept], [truths[i] for i in kept]))


def test_each_trial_is_judged_by_the_model_of_its_group() -> None:
    histories = trials()
    models = held_out_models(histories, label(histories), by_loss)
    policy = held_out(0.1, by_loss, models)
    stops = decide(policy, histories)
    assert policy.name == "ganray 0.1"
    stopped = {h.number for h, stop in zip(histories, stops, strict=True) if stop is not None}
    assert stopped == {h.number for h in histories if h.number % 2 == 0}
    hopeful = replace(models["wgan"], bias=(99.0, 99.0))
    spared = decide(held_out(0.1, by_loss, {**models, "wgan": hopeful}), histories)
    assert {by_loss(h) for h, s in zip(histories, spared, strict=True) if s} == {"hinge", "lsgan"}


def test_examples_carry_the_truth_and_the_setting_but_not_what_is_unknown() -> None:
    good, poor = {"mode_ratio": 0.95, "distance": 0.05}, {"mode_ratio": 0.7, "distance": 0.2}
    dead = {"mode_ratio": 0.1, "distance": 0.9}
    histories = [
        past(0, [good] * 10, config={"loss": "hinge", "seed": 1}, searched=("loss",)),
        past(1, [poor] * 10, config={"loss": "hinge", "seed": 2}, searched=("loss",)),
        past(2, [dead] * 10, config={"loss": "wgan", "seed": 1}, searched=("loss",)),
        past(3, [dead] * 5, outcome=Outcome.STALLED),
    ]
    found = examples(histories, label(histories))
    assert [e.target for e in found] == [HEALTHY, BETWEEN, BAD]
    assert found[0].setting == found[1].setting != found[2].setting


def test_groups_of_data_are_data_sets() -> None:
    assert by_data(past(0, [{}], data="grid")) == "grid"
