"""Which engine a trial goes to, and how many trials there may be."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import GetTimeoutError

from ganray.data.gaussians import ring
from ganray.tuning import hosting
from ganray.tuning.hosting import Engines, Hosting
from tests.conftest import small_spec

FITTING = {"now": 2}  # engines that the cluster holds


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of engines, which are not really started."""
    found: list[str] = []
    FITTING["now"] = 2
    monkeypatch.setattr(hosting.ray, "put", lambda dataset: dataset)
    monkeypatch.setattr(hosting, "start_engine", lambda *given: found.append(given[-1]))
    monkeypatch.setattr(hosting, "capacity", lambda spec, resources: lambda: FITTING["now"])
    return found


def engines(folder: Path, slots: int, concurrency: Any = "auto", gpu: float = 0.0) -> Engines:
    spec = small_spec(folder, search={"concurrency": concurrency})
    return Engines(spec, ring(train_size=200), {"CPU": 1.0, "GPU": gpu}, slots)


def test_trials_are_spread_over_as_many_engines_as_the_cluster_holds(
    started: list[str], tmp_path: Path
) -> None:
    made = engines(tmp_path, slots=2)
    places = [made.place(number, set(range(number)))["engine"] for number in range(5)]
    assert len(started) == 2
    assert [places.count(name) for name in started] == [3, 2]
    # of those that run no more nothing is left: the engine that they were in has room
    assert made.place(5, {3})["engine"] != places[3]


def test_node_that_comes_has_an_engine(started: list[str], tmp_path: Path) -> None:
    made = engines(tmp_path, slots=2)
    for number in range(4):
        made.place(number, set(range(number)))
    FITTING["now"] = 3
    assert made.capacity() == 9
    assert made.place(4, {0, 1, 2, 3})["engine"] == started[2]


def test_trial_that_goes_on_is_in_the_engine_that_it_was_in(
    started: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However full that is: should its earlier launch still be there, it leaves."""
    Lost(monkeypatch)
    made = engines(tmp_path, slots=1)
    first = made.place(0, set())
    made.place(1, {0})
    assert made.place(0, {1, 2, 3}) == first


@pytest.mark.parametrize(
    ("slots", "concurrency", "most"),
    [(1, "auto", 4), (8, "auto", 18), (9, "auto", 22), (8, 5, 5), (2, 100, 6)],
)
def test_a_few_trials_more_than_slots_are_there(
    slots: int, concurrency: Any, most: int, started: list[str], tmp_path: Path
) -> None:
    assert engines(tmp_path, slots, concurrency).capacity() == most


@pytest.mark.parametrize(
    ("slots", "gpu", "crowded"), [(1, 1.0, False), (2, 1.0, True), (2, 0.0, True)]
)
def test_trials_in_slots_have_others_beside_them(
    slots: int, gpu: float, crowded: bool, started: list[str], tmp_path: Path
) -> None:
    assert engines(tmp_path, slots, gpu=gpu).crowded is crowded


class Lost:
    """Engines of which some do not answer: the nodes that they were on are gone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gone: set[str] = set()
        self.killed: list[str] = []
        monkeypatch.setattr(hosting, "start_engine", lambda *given: self.handle(given[-1]))
        monkeypatch.setattr(hosting.ray, "get", self.get)
        monkeypatch.setattr(hosting.ray, "kill", lambda engine: self.killed.append(engine.name))

    def handle(self, name: str) -> SimpleNamespace:
        asked = SimpleNamespace(remote=lambda number: name)
        return SimpleNamespace(name=name, is_waiting=asked)

    def get(self, asked: str, timeout: float) -> bool:
        if asked in self.gone:
            raise GetTimeoutError
        return False


def test_engine_whose_node_is_lost_gets_no_trial_any_more(
    started: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Lost(monkeypatch)
    made = engines(tmp_path, slots=2)
    first = made.place(0, set())["engine"]
    second = made.place(1, {0})["engine"]
    lost.gone.add(first)
    FITTING["now"] = 1
    assert made.capacity() == 3
    assert lost.killed == [first]  # so that who waits for it hears of it
    assert made.place(2, {1})["engine"] == second
    assert made.place(0, {1, 2})["engine"] == second


def test_trial_does_not_go_back_to_an_engine_that_is_lost(
    started: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Lost(monkeypatch)
    made = engines(tmp_path, slots=2)
    first = made.place(0, set())["engine"]
    lost.gone.add(first)  # and the cluster has not noticed yet
    assert made.place(0, set())["engine"] not in (None, first)
    assert lost.killed == [first]


@pytest.mark.parametrize("answers", [True, False])
def test_engine_that_does_not_answer_has_no_trial_that_waits(
    answers: bool, started: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get(asked: object, timeout: float) -> bool:
        if not answers:
            raise GetTimeoutError
        return asked == 7

    handle = SimpleNamespace(is_waiting=SimpleNamespace(remote=lambda number: number))
    monkeypatch.setattr(hosting, "start_engine", lambda *given: handle)
    monkeypatch.setattr(hosting.ray, "get", get)
    made = engines(tmp_path, slots=1)
    made.place(7, set())
    made.place(8, {7})
    assert made.is_waiting(7) is answers
    assert not made.is_waiting(8)


def test_in_a_process_of_its_own_a_trial_never_waits() -> None:
    assert Hosting().place(0, set()) == {}
    assert not Hosting().is_waiting(0)
