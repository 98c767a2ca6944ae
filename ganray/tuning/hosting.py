"""Where trials train: in a process each, or in the slots of engines, one engine a GPU."""

from collections.abc import Mapping, Set
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import uuid4

import ray
from ray import cloudpickle, tune
from ray.exceptions import RayError

from ganray.data.dataset import Dataset
from ganray.spec.models import SweepSpec
from ganray.tuning.cluster import capacity, has_shared_gpu, resources_of
from ganray.tuning.room import measure_slots, seats_of
from ganray.tuning.slots import EngineActor, SlotTrial
from ganray.tuning.trainable import GanTrial

ANSWERS_WITHIN = 10.0  # seconds
CONTROLS = 8  # calls that an engine takes beside those of its trials


class Hosting:
    """Where trials train, as Tune's hooks see it; by itself: each in the actor that Tune gave it.

    Attributes:
        begins_at_once: whether a trial that has its actor trains; else with its first report.
    """

    begins_at_once = True

    def place(self, number: int, running: Set[int]) -> Mapping[str, Any]:
        """What the Ray config of a trial says of its place.

        Args:
            number: of the trial.
            running: all that Tune has.
        """
        return {}

    def is_waiting(self, number: int) -> bool:
        """Whether a trial that Tune runs cannot report, for it waits until others leave."""
        return False

    def evict(self, number: int) -> None:
        """Take a trial for dead, whose actor is killed: what it holds elsewhere is given back."""

    def close(self) -> None:
        """End what no trial needs any more."""


IN_ACTORS = Hosting()


class Processes(Hosting):
    """A process for each trial that runs; the next one takes it over.

    Args:
        spec: the sweep.
        dataset: its data.
        resources: of one trial.

    Attributes:
        trainable: what Tune runs for a trial.
        capacity: how many trials Tune may have, whenever it is called.
        crowded: whether a trial may have others beside it on its GPU, or in its process.
    """

    def __init__(self, spec: SweepSpec, dataset: Dataset, resources: Mapping[str, float]) -> None:
        shared = tune.with_parameters(GanTrial, dataset=dataset, spec=spec.to_json())
        self.trainable = tune.with_resources(shared, partial(resources_of, spec, resources))
        self.capacity = capacity(spec, resources)
        self.crowded = has_shared_gpu(resources, spec)


class Engines(Hosting):
    """Engines, each with slots: as many as the cluster holds, which changes as nodes come and go.

    Each has a few trials more than slots, so that none of these waits for the driver. A trial that
    goes on after a fault goes to the engine that it was in: should it still be there, it leaves. An
    engine that does not answer, as its node is lost, is given up, and its trials go to others.

    Args:
        spec: the sweep.
        dataset: its data.
        resources: of one engine.
        slots: of one engine.

    Attributes:
        trainable: as of `Processes`; so are the others.
    """

    begins_at_once = False  # it may have to wait

    def __init__(
        self, spec: SweepSpec, dataset: Dataset, resources: Mapping[str, float], slots: int
    ) -> None:
        self.trainable = tune.with_resources(SlotTrial, tune.PlacementGroupFactory([ATTACHED]))
        self.crowded = slots > 1
        self._concurrency = spec.search.concurrency
        engines = spec.search.model_copy(update={"concurrency": "auto"})
        self._fitting = capacity(spec.model_copy(update={"search": engines}), resources)
        self._seats = seats_of(slots)
        kept = cloudpickle.dumps(ray.put(dataset))  # type: ignore[no-untyped-call]
        self._start = partial(start_engine, spec.to_json(), kept, resources, slots)
        self._engines: dict[str, Any] = {}
        self._at: dict[int, str] = {}  # of every trial that there was

    def capacity(self) -> int:
        """See `Processes`; `search.concurrency` counts trials, those that wait among them."""
        fitting = self._fitting()
        if len(self._engines) > fitting:
            self._give_up_lost()
        most = self._seats * fitting
        return most if self._concurrency == "auto" else min(most, self._concurrency)

    def place(self, number: int, running: Set[int]) -> Mapping[str, Any]:
        """The engine with the fewest trials; a new one as long as the cluster holds more."""
        if number in self._at:
            self._give_up_lost()
        if self._at.get(number) not in self._engines:
            if len(self._engines) < self._fitting():
                name = f"ganray-engine-{uuid4().hex}"
                self._engines[name] = self._start(name)
            loads = dict.fromkeys(self._engines, 0)
            for at in (self._at.get(other) for other in running):
                if at in loads:
                    loads[at] += 1
            self._at[number] = min(loads, key=lambda name: loads[name])
        return {"engine": self._at[number]}

    def is_waiting(self, number: int) -> bool:
        """See `Hosting`; an engine that does not answer has no trial that waits."""
        engine = self._engines.get(self._at[number])
        return engine is not None and _answer(engine, number) is True

    def evict(self, number: int) -> None:
        """See `Engine.evict`; nobody waits for it here."""
        engine = self._engines.get(self._at[number])
        if engine is not None:
            engine.evict.remote(number)

    def close(self) -> None:
        """End the engines, which no trial is in."""
        for engine in self._engines.values():
            ray.kill(engine)
        self._engines.clear()

    def _give_up_lost(self) -> None:
        """Who waits for an engine that is killed here hears of it, and its trial goes on."""
        for name, engine in list(self._engines.items()):
            if _answer(engine, -1) is None:
                ray.kill(engine)
                del self._engines[name]


def _answer(engine: Any, number: int) -> bool | None:
    """Whether a trial waits there; None: the engine does not answer."""
    with suppress(RayError):
        return bool(ray.get(engine.is_waiting.remote(number), timeout=ANSWERS_WITHIN))
    return None


def decided_slots(spec: SweepSpec, dataset: Dataset, resources: Mapping[str, float]) -> int | None:
    """Slots of one engine, those of `auto` measured where an engine would be; None: no engines."""
    asked = spec.resources.slots_per_gpu
    if asked != "auto":
        return asked
    kind = ray.remote(num_cpus=resources["CPU"], num_gpus=resources["GPU"])(_measured_slots)
    found: int = ray.get(kind.remote(spec.to_json(), dataset))
    return found


def _measured_slots(spec: str, dataset: Dataset) -> int:
    return measure_slots(SweepSpec.model_validate_json(spec), dataset)


# every node has memory, of which a byte is nothing; Tune takes no trial that asks for nothing
ATTACHED: dict[str, float] = {"CPU": 0.0, "memory": 1.0}


def start_engine(
    spec: str, dataset: bytes, resources: Mapping[str, float], slots: int, name: str
) -> Any:
    """The handle of a new engine; it starts as soon as the cluster has room, and after each death.

    Args:
        spec: the sweep, as JSON.
        dataset: its data: see `EngineActor`.
        resources: of the engine.
        slots: of the engine.
        name: by which trials find it.
    """
    options: dict[str, Any] = {
        "name": name,
        "num_cpus": resources["CPU"],
        "num_gpus": resources["GPU"],
        "max_restarts": -1,
        "max_concurrency": slots + seats_of(slots) + CONTROLS,
    }
    return ray.remote(**options)(EngineActor).remote(spec, dataset, slots)
