"""The average of weights, against the recurrence worked out with numbers."""

import copy

import pytest
import torch
from torch import nn

from ganray.gan.ema import Average


def network(value: float) -> nn.Module:
    """A linear layer and a batch norm whose weights are all `value`."""
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).double()
    set_to(module, value)
    return module


def set_to(module: nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(value)


def value_of(module: nn.Module) -> float:
    """The one number that all weights are."""
    weights = torch.cat([p.detach().flatten() for p in module.parameters()])
    assert (weights == weights[0]).all()
    return weights[0].item()


def expected(start: float, decay: float, seen: list[float]) -> float:
    """TensorFlow's ramp: min(decay, (1 + n) / (10 + n)), n updates having been made."""
    average = start
    for n, value in enumerate(seen):
        rate = min(decay, (1 + n) / (10 + n))
        average = rate * average + (1 - rate) * value
    return average


SEEN = [1.0, 5.0, -2.0, 4.0, 0.5, 3.0, 3.5, -1.0]


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.999])
def test_the_average_follows_the_ramped_recurrence(decay):
    module = network(7.0)
    average = Average(module, decay)
    for count, value in enumerate(SEEN, start=1):
        set_to(module, value)
        average.update(module)
        want = expected(7.0, decay, SEEN[:count])
        assert value_of(average.module) == pytest.approx(want, rel=1e-12)


def test_the_first_update_forgets_nine_tenths_of_the_untrained_weights():
    module = network(10.0)
    average = Average(module, 0.999)
    set_to(module, 0.0)
    average.update(module)
    assert value_of(average.module) == pytest.approx(1.0, rel=1e-12)


def test_a_late_update_keeps_the_decay_asked_for():
    module = network(0.0)
    average = Average(module, 0.9)
    average.updates = 1000
    set_to(module, 1.0)
    average.update(module)
    assert value_of(average.module) == pytest.approx(0.1, rel=1e-12)


def test_buffers_are_those_of_the_network_and_not_averages():
    module = network(1.0)
    average = Average(module, 0.999)
    module.train()
    module(torch.full((4, 2), 3.0, dtype=torch.float64))
    module(torch.arange(8.0, dtype=torch.float64).view(4, 2))
    average.update(module)
    pairs = list(zip(average.module.buffers(), module.buffers(), strict=True))
    assert len(pairs) == 3
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs)
    assert average.module[1].num_batches_tracked.item() == 2


def test_the_averaged_network_is_apart_evaluates_and_is_not_trained():
    module = network(1.0).train()
    module(torch.arange(8.0, dtype=torch.float64).view(4, 2)).sum().backward()
    average = Average(module, 0.9)
    assert not any(m.training for m in average.module.modules())
    assert not any(p.requires_grad or p.grad is not None for p in average.module.parameters())
    set_to(module, 5.0)
    assert value_of(average.module) == 1.0
    average.update(module)
    assert module.training
    assert all(p.requires_grad and p.grad is not None for p in module.parameters())
    assert value_of(module) == 5.0


def test_an_average_goes_on_from_its_state():
    module = network(7.0)
    average = Average(module, 0.999)
    for value in SEEN[:4]:
        set_to(module, value)
        average.update(module)
    state = copy.deepcopy(average.state_dict())
    other = Average(network(-50.0), 0.999)
    other.load_state_dict(state)
    for value in SEEN[4:]:
        set_to(module, value)
        other.update(module)
    assert other.updates == len(SEEN)
    assert value_of(other.module) == pytest.approx(expected(7.0, 0.999, SEEN), rel=1e-12)


@pytest.mark.parametrize("decay", [-0.1, 1.0, 1.5])
def test_a_decay_that_is_none_is_refused(decay):
    with pytest.raises(ValueError, match=rf"in \[0, 1\); got {decay}"):
        Average(network(0.0), decay)
