"""Networks that fail: a node that is cut off, and a client whose connections drop."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ganray.client.status import SweepStatus
from ganray.client.sweeps import Submission, SweepClient
from ganray.errors import GanrayError
from ganray.spec.load import parse_sweep
from ganray.spec.models import SweepSpec
from ganray.trial import Cause
from ganray.tuning.places import trial_location
from ganray.tuning.study import RecordedTrial, SweepStudy
from tests.agreement import Expected, disagreements, expectation
from tests.cluster import Node, RealCluster
from tests.faults import SWEEP
from tests.integration.conftest import make_spec
from tests.network import Machine, Network, why_not
from tests.proxy import Cut, Proxy

pytestmark = [pytest.mark.slow, pytest.mark.proof]

SECONDS = 240.0  # for what takes ten on a machine that has nothing else to do
# long enough that a trial still runs on a node when it is cut off
LONG: dict[str, Any] = {
    **SWEEP,
    "search": {**SWEEP["search"], "trials": 2},
    "budget": {"updates": 12_000, "reports": 40},
    "prune": None,
}
# Ray finds a lost node after about 10 s, not after about a minute
QUICK = {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "3",
}


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


# --- a node that is cut off -----------------------------------------------------------------------


@dataclass
class Field:
    """A head and a worker on two machines of a network."""

    network: Network
    cluster: RealCluster
    away: Machine
    worker: Node
    head_cpus: int

    def client(self) -> SweepClient:
        return SweepClient(self.cluster.address)

    def spec(self, name: str) -> SweepSpec:
        folder = self.cluster.folder
        own = {
            "name": name,
            "storage": {"results": str(folder / "results")},
            "tracking": {"uri": f"sqlite:///{folder}/mlflow.db"},
        }
        return parse_sweep(LONG | own)

    def trials(self, spec: SweepSpec) -> list[RecordedTrial]:
        try:
            return list(SweepStudy.load(spec).recorded())
        except GanrayError:  # there is no study yet
            return []

    def has_reported(self, spec: SweepSpec, count: int) -> bool:
        """Whether every trial that may run now has made so many reports."""
        found = [len(t.reports) >= count for t in self.trials(spec)]
        return found.count(True) == 1 + self.head_cpus

    def finish(self, name: str) -> None:
        until(lambda: self.client().status(name).has_ended, f"{name} does not end")
        status = self.client().status(name)
        assert status.state == "finished", (status, b"".join(self.client().logs(name)).decode())


@pytest.fixture
def lay(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Field]]:
    """Builds a cluster on two machines; removes all of it."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    network, cluster = Network(), RealCluster(env=QUICK)
    monkeypatch.setenv("RAY_AUTH_TOKEN", cluster.token)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    with network.up():

        def lay(head_cpus: int) -> Field:
            first, second = network.add_machine(), network.add_machine()
            cluster.start_head(head_cpus, first.host)
            worker = cluster.add_node(1, second.host)
            return Field(network, cluster, second, worker, head_cpus)

        try:
            yield lay
        finally:
            cluster.stop()


@pytest.fixture(scope="module")
def peaceful() -> dict[str, Expected]:
    """The sweep that nothing disturbs, once there is one."""
    return {}


def in_peace(ground: Field, peaceful: dict[str, Expected]) -> Expected:
    if not peaceful:
        spec = ground.spec("peaceful")
        ground.client().submit(spec)
        ground.finish(spec.name)
        peaceful["it"] = expectation(spec)
        assert disagreements(spec, peaceful["it"]) == []
    return peaceful["it"]


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("head_cpus", [1, 0], ids=["goes on on the head", "waits for a node"])
def test_sweep_outlives_the_loss_of_a_node_that_comes_back(
    head_cpus: int, lay: Callable[[int], Field], peaceful: dict[str, Expected]
) -> None:
    ground = lay(head_cpus)
    expected = in_peace(ground, peaceful)
    spec = ground.spec("cut")
    ground.client().submit(spec)

    # for a moment: nobody notices
    until(lambda: ground.has_reported(spec, 2), "no reports")
    ground.network.cut(ground.away)
    time.sleep(2.0)
    ground.network.join(ground.away)
    until(lambda: ground.has_reported(spec, 8), "no more reports")
    assert {t.assignment.launches for t in ground.trials(spec)} == {1}
    assert not any(t.ending for t in ground.trials(spec))

    # for long: what ran there goes on elsewhere, or waits
    drawn = {t.assignment.number: pictures(spec, t.assignment.number) for t in ground.trials(spec)}
    ground.network.cut(ground.away)
    until(lambda: bool(lost(spec)), "the lost node is not noticed")
    (number,) = lost(spec)
    assert drawn[number]
    if head_cpus:
        until(lambda: ground.trials(spec)[number].assignment.launches == 2, "not tried again")
    else:
        before = sum(len(t.reports) for t in ground.trials(spec))
        time.sleep(5.0)
        assert sum(len(t.reports) for t in ground.trials(spec)) == before
        assert not ground.client().status("cut").has_ended

    # back: what was left there gives up, and the machine is a node again
    ground.network.join(ground.away)
    until(lambda: ground.worker.process.poll() is not None, "the lost node does not give up")
    ground.cluster.nodes.remove(ground.worker)
    if not head_cpus:
        ground.cluster.add_node(1, ground.away.host)
    ground.finish("cut")
    assert disagreements(spec, expected) == []
    assert drawn[number].items() <= pictures(spec, number).items()  # none was drawn again


def lost(spec: SweepSpec) -> list[int]:
    """The trials whose node was lost."""
    found = SweepStudy.load(spec).record.trials
    causes = {t.number: [f["cause"] for f in t.user_attrs.get("faults", ())] for t in found}
    return [number for number, each in causes.items() if Cause.NODE_LOST in each]


def pictures(spec: SweepSpec, number: int) -> dict[str, int]:
    """When each picture of a trial was written."""
    found = Path(trial_location(spec, number)).glob("samples-*.png")
    return {file.name: file.stat().st_mtime_ns for file in found}


# --- a client whose connections drop --------------------------------------------------------------


def rough(chance: random.Random) -> Callable[[int], Cut]:
    """Every second connection is lost somewhere: before it is used, half-way, or answered."""

    def plan(number: int) -> Cut:
        reset = chance.random() < 0.5
        if number == 0 or chance.random() < 0.5:  # whoever never answered may be no dashboard
            return Cut()
        if chance.random() < 0.5:
            return Cut(up=chance.choice([0, 1, 100, 300, 600, 2_000]), reset=reset)
        return Cut(down=chance.choice([0, 5, 14, 60, 150, 200, 300]), reset=reset)

    return plan


@dataclass
class Story:
    """What a client saw through a line that drops, and what was there."""

    submissions: list[Submission] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    followed: list[bytes] = field(default_factory=list)
    drops_while_following: int = 0
    stopped: SweepStatus | None = None
    again: SweepStatus | None = None
    log: bytes = b""
    spec: Any = None
    accepted: int = 0


@pytest.fixture(scope="module")
def story(cluster: RealCluster) -> Iterator[Story]:
    """A sweep that is submitted twice, followed and stopped through a line that drops."""
    proxy = Proxy(cluster.dashboard_port)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN", cluster.token)
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
            patch.delenv(name, raising=False)
        try:
            yield tell(cluster, proxy)
        finally:
            proxy.close()


def tell(cluster: RealCluster, proxy: Proxy) -> Story:
    search = {**SWEEP["search"], "trials": 2_000}
    budget = {"updates": 40, "reports": 2}
    story, chance = Story(), random.Random(0)
    story.spec = make_spec(cluster.folder, "dropped", search=search, budget=budget)
    far, near = SweepClient(proxy.address), SweepClient(cluster.address)

    proxy.plan = rough(chance)
    story.submissions = [far.submit(story.spec) for _ in range(2)]
    found = near._api.get("/api/jobs/", list)
    story.jobs = [j["submission_id"] for j in found if "dropped" in (j["submission_id"] or "")]

    proxy.plan = lambda number: Cut()
    following = threading.Thread(
        target=lambda: story.followed.extend(far.logs("dropped", follow=True))
    )
    following.start()
    begins = proxy.lost
    until(lambda: b"".join(story.followed).count(b"completed") >= 3, "nothing to be followed")
    for _ in range(12):
        time.sleep(chance.uniform(0.05, 1.0))
        proxy.cut()
    story.drops_while_following = proxy.lost - begins

    proxy.plan = rough(chance)
    story.stopped = far.stop("dropped")
    story.again = far.stop("dropped")
    following.join(SECONDS)
    assert not following.is_alive()
    story.log = b"".join(near.logs("dropped"))
    story.accepted = proxy.accepted
    return story


def test_submission_whose_answers_are_lost_is_one_sweep(story: Story) -> None:
    assert [each.is_new for each in story.submissions] == [True, False]
    assert [each.name for each in story.submissions] == ["dropped", "dropped"]
    assert len(story.jobs) == 1


def test_log_that_is_followed_over_lost_connections_is_whole(story: Story) -> None:
    assert story.drops_while_following >= 5
    assert b"".join(story.followed) == story.log
    lines = story.log.decode().splitlines()
    assert len(lines) == len(set(lines)) > 3


def test_stop_whose_answers_are_lost_stops_with_every_trial_recorded(story: Story) -> None:
    assert story.stopped is not None
    assert story.again is not None
    assert story.stopped.state == story.again.state == "stopped"
    outcomes = SweepStudy.load(story.spec).outcomes()
    assert len(outcomes) == len(list(SweepStudy.load(story.spec).recorded()))
    assert disagreements(story.spec, expectation(story.spec)) == []
