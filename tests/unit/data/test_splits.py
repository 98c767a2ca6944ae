"""Two banks that never mix, with every label as often in one as in the other."""

import numpy as np
import pytest

from ganray.data.splits import Table, build, split, stratified
from ganray.errors import DataError


def table(count: int, start: int = 0, labels: np.ndarray | None = None) -> Table:
    """Rows that know their number: sample, label and condition agree."""
    numbers = np.arange(start, start + count)
    samples = np.stack([numbers, -numbers], 1).astype(np.float32)
    return Table(samples, numbers % 4 if labels is None else labels, samples[:, :1] * 2.0)


def numbers(bank: Table) -> list[int]:
    return bank.samples[:, 0].astype(int).tolist()


def test_every_sample_is_in_exactly_one_bank_with_its_label_and_condition():
    train, heldout = split(table(200), None, 50, 0, "here")
    assert sorted(numbers(train) + numbers(heldout)) == list(range(200))
    assert len(numbers(heldout)) == 50
    for bank in (train, heldout):
        assert bank.labels.tolist() == [number % 4 for number in numbers(bank)]
        assert bank.conditions[:, 0].tolist() == [2.0 * number for number in numbers(bank)]
        assert numbers(bank) != sorted(numbers(bank))


@pytest.mark.parametrize(("count", "expected"), [(300, 30), (1_000, 100), (60_000, 5_000)])
def test_a_tenth_is_held_out_but_no_more_than_5000(count, expected):
    data = Table(np.zeros((count, 1), dtype=np.float32))
    assert len(split(data, None, None, 0, "here")[1].samples) == expected


@pytest.mark.parametrize(("count", "heldout", "expected"), [(60, None, 60), (60, 7, 7)])
def test_a_test_split_is_held_out_and_the_rest_all_trained_on(count, heldout, expected):
    train, held_out = split(table(100), table(count, 1_000), heldout, 0, "here")
    assert sorted(numbers(train)) == list(range(100))
    assert len(numbers(held_out)) == len(set(numbers(held_out))) == expected
    assert set(numbers(held_out)) <= set(range(1_000, 1_000 + count))


def test_no_more_than_10000_of_a_test_split_are_held_out():
    data, test = (Table(np.zeros((n, 1), dtype=np.float32)) for n in (100, 12_000))
    assert len(split(data, test, None, 0, "here")[1].samples) == 10_000


def test_held_out_samples_are_of_every_label_as_often_as_in_all():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    chosen = stratified(labels, 1_000, 100, np.random.default_rng(0))
    assert np.bincount(labels[chosen]) == pytest.approx(np.array([60, 30, 10]), abs=1)
    assert len(set(chosen.tolist())) == 100


@pytest.mark.parametrize("chosen", [1, 3, 7, 99, 100])
def test_any_number_can_be_chosen(chosen):
    for seed in range(20):
        found = stratified(None, 100, chosen, np.random.default_rng(seed))
        assert len(set(found.tolist())) == chosen
        assert set(found.tolist()) <= set(range(100))


def test_the_seed_decides_the_split():
    first, again, other = (split(table(200), None, 50, seed, "here") for seed in (0, 0, 1))
    assert [numbers(bank) for bank in first] == [numbers(bank) for bank in again]
    assert sorted(numbers(first[1])) != sorted(numbers(other[1]))


@pytest.mark.parametrize(
    ("count", "test", "heldout"), [(15, None, None), (30, None, 20), (50, 5, 6), (50, None, 1)]
)
def test_too_few_samples_are_an_error_that_says_how_many(count, test, heldout):
    held = None if test is None else table(test)
    with pytest.raises(DataError, match=f"^here: has {count} samples.* expected at least 20"):
        split(table(count), held, heldout, 0, "here")


def test_modes_are_classes_or_bins():
    train, heldout = split(table(200), None, 50, 0, "here")
    by_class = build("made-v1", train, heldout, 4, 0)
    assert (by_class.classes, by_class.counter.modes) == (4, 4)
    assert set(by_class.facts) == {"classifier_accuracy"}
    assert by_class.features(by_class.heldout).shape == (50, 128)
    assert by_class.condition_vectors("train") is train.conditions
    plain = build("made-v1", Table(train.samples), Table(heldout.samples), 0, 0)
    assert (plain.classes, plain.counter.modes, plain.features) == (0, 15, None)
    assert by_class.name != plain.name  # they differ in labels: the name has their hash
    assert plain.name == f"made-v1-seed0-{plain.fingerprint[:8]}"
