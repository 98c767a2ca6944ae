"""Updates that are recorded train as they would without: bit for bit, unless a test says otherwise.

On the CPU the recorder is that of `tests.recording`, in float64; on a GPU it is the real one.
"""

import copy
import inspect
import io
import logging
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ganray.gan import graphs, trainer
from ganray.gan.base import Snapshot, Trainer
from ganray.gan.losses import LOSS_NAMES
from ganray.gan.optimizers import OPTIMIZERS
from ganray.gan.penalties import PENALTIES, Judged, Memoryless
from ganray.gan.player import Player
from ganray.gan.real import RealData
from ganray.gan.streams import new_stream
from ganray.gan.trainer import make_trainer
from ganray.trial import TrialConfig
from tests.recording import OperationRecorder, recording_on_the_cpu

pytestmark = pytest.mark.usefixtures("one_thread")

MLP = {"name": "mlp", "width": 8, "depth": 1}
NORMED = {**MLP, "g_norm": "batch"}
CONV = {"name": "conv", "width": 2}
CONFIG = TrialConfig(batch_size=4, latent_dim=3, d_lr=1e-3, g_lr=1e-3, seed=5, graphs="on")
BUDGET = 60
CLASSES = 4


@pytest.fixture
def in_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything that is float32 otherwise, what a trainer casts to it, too."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(default)


@pytest.fixture
def recording(in_float64: None) -> Iterator[None]:
    with recording_on_the_cpu():
        yield


def points(device: str = "cpu") -> RealData:
    draws = torch.Generator().manual_seed(0)
    labels = torch.arange(64) % CLASSES
    return RealData(torch.randn(64, 2, generator=draws), labels, CLASSES, device=device)


def images(device: str = "cpu") -> RealData:
    draws = torch.Generator().manual_seed(0)
    pictures = torch.randint(256, (32, 1, 8, 8), generator=draws, dtype=torch.uint8)
    return RealData(pictures, torch.arange(32) % CLASSES, CLASSES, device=device)


def make(
    networks: Mapping[str, object] = MLP, data: RealData | None = None, **changes: Any
) -> Trainer:
    return make_trainer(replace(CONFIG, **changes), networks, data or points(), BUDGET)


def content(of: Trainer) -> dict[str, Any]:
    """Its state, without times."""
    state = copy.deepcopy(of.state_dict())
    return {name: value for name, value in state.items() if name not in ("seconds", "last")}


def both_ways(chunks: tuple[int, ...] = (7, 43), **changes: Any) -> tuple[Trainer, Trainer]:
    """After so many updates: without graphs, and with them."""
    eager, recorded = make(**changes, graphs="off"), make(**changes)
    for each in (eager, recorded):
        for updates in chunks:
            each.advance(updates)
    return eager, recorded


def need_alike(eager: Trainer, recorded: Trainer, rtol: float = 0.0) -> None:
    exact = {"rtol": rtol, "atol": 0.01 * rtol, "equal_nan": True}
    # what RMSprop counts is on the host without graphs
    torch.testing.assert_close(content(recorded), content(eager), check_device=False, **exact)
    assert sides(recorded) == pytest.approx(sides(eager), rel=rtol, abs=0.0)


def sides(of: Trainer) -> dict[str, float]:
    """What is measured of both players since the last `advance` began."""
    snapshot = of.snapshot()
    both = {**asdict(snapshot.d), **{f"g_{k}": v for k, v in asdict(snapshot.g).items()}}
    return {name: value for name, value in both.items() if value is not None}


def need_recorded(under_test: Trainer) -> None:
    assert isinstance(under_test, trainer.GanTrainer)
    assert under_test.is_recorded


def messages(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(r.levelno, r.getMessage()) for r in caplog.records if r.name == "ganray.gan"]


# --- whatever a trial is made of ------------------------------------------------------------------

OPTIONS: dict[str, list[Any]] = {
    "loss": sorted(LOSS_NAMES),
    "penalty": ["none", *PENALTIES],
    "penalty_schedule": ["constant", "linear", "cosine"],
    "optimizer": sorted(OPTIMIZERS),
    "g_optimizer": [None, *sorted(OPTIMIZERS)],
    "momentum": [0.0, 0.5],
    "weight_decay": [0.0, 0.01],
    "lr_schedule": ["constant", "linear", "cosine"],
    "weight_clip": [None, 0.1],
    "g_weight_clip": [None, 0.5],
    "d_grad_clip": [None, 0.5],
    "g_grad_clip": [None, 0.5],
    "d_steps": [1, 3],
    "g_steps": [1, 2],
    "warmup_d_steps": [None, 4],
    "ema": [None, 0.9],
    "instance_noise": [0.0, 0.3],
    "spectral_norm": [False, True],
    "conditioning": ["none", "concat", "projection", "acgan", "sgan"],
    "labelled": [1.0, 0.5],
    "networks": [MLP, NORMED],
}


def rows() -> list[dict[str, Any]]:
    """Each value of each option stands in some row, beside others at random."""
    draws = random.Random(0)
    columns = {name: draws.sample(values * 34, 34) for name, values in OPTIONS.items()}
    for name, values in OPTIONS.items():
        columns[name][: len(values)] = draws.sample(values, len(values))
        draws.shuffle(columns[name])
    return [{name: column[i] for name, column in columns.items()} for i in range(34)]


def label(row: dict[str, Any]) -> str:
    return "-".join(str(row[name]) for name in ("loss", "penalty", "optimizer"))


@pytest.mark.parametrize("row", rows(), ids=label)
def test_fifty_updates_are_those_without_graphs(row, recording):
    eager, recorded = both_ways(**row)
    need_recorded(recorded)
    changes_lr = row["lr_schedule"] != "constant"
    uses_rmsprop = "rmsprop" in (row["optimizer"], row["g_optimizer"])
    # where the rate is a tensor, torch's RMSprop divides by it once more
    need_alike(eager, recorded, rtol=1e-9 if changes_lr and uses_rmsprop else 0.0)


@pytest.mark.parametrize(
    "row",
    [
        {"penalty": "r1_r2", "diffaugment": "color,translation,cutout"},
        {"spectral_norm": True, "channels_last": True, "ema": 0.9},
        {"pack": 2, "conditioning": "concat"},
    ],
    ids=str,
)
def test_images_are_trained_on_alike(row, recording):
    eager, recorded = both_ways(chunks=(9,), networks=CONV, data=images(), **row)
    need_recorded(recorded)
    need_alike(eager, recorded)


def test_in_bf16_updates_are_alike():
    with recording_on_the_cpu():
        eager, recorded = both_ways(dtype="bf16", penalty="lecam", loss="hinge")
    need_recorded(recorded)
    need_alike(eager, recorded)


# --- that these tests would tell ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "scheduled"),
    [
        ("optimizers", {"lr_schedule": "linear"}),
        ("trainer", {"penalty": "r1", "penalty_schedule": "linear"}),
        ("trainer", {"instance_noise": 0.5}),
    ],
)
def test_a_number_that_is_no_tensor_stays_as_it_was_recorded(
    place, scheduled, recording, monkeypatch
):
    monkeypatch.setattr(f"ganray.gan.{place}.on_device", lambda number, device: number)
    eager, recorded = both_ways(**scheduled)
    need_recorded(recorded)
    with pytest.raises(AssertionError, match="not equal"):
        need_alike(eager, recorded)


def test_sums_that_are_replaced_are_no_longer_added_to(recording, monkeypatch):
    restart = Player.restart_averages

    def replace_sums(player: Player) -> None:
        restart(player)
        player.sums = {name: torch.zeros(()) for name in player.sums}

    monkeypatch.setattr(Player, "restart_averages", replace_sums)
    eager, recorded = both_ways()
    need_recorded(recorded)
    assert sides(eager) != sides(recorded)


# --- from outside ---------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", ["none", "lecam"])
def test_recording_leaves_no_trace_in_anything(penalty, recording):
    options = {"networks": NORMED, "ema": 0.9, "penalty": penalty, "spectral_norm": True}
    eager, recorded = both_ways(chunks=(1,), **options)
    need_recorded(recorded)
    need_alike(eager, recorded)


def test_a_trial_goes_on_from_a_checkpoint_with_and_without_graphs(recording):
    options = {"lr_schedule": "cosine", "penalty": "lecam", "ema": 0.9}
    through = make(**options)
    through.advance(13)
    file = io.BytesIO()
    torch.save(through.state_dict(), file)
    through.advance(20)
    busy = make(**options, seed=6)
    busy.advance(5)  # recorded before it is told where to go on
    for resumed in (make(**options), make(**options, graphs="off"), busy):
        file.seek(0)
        resumed.load_state_dict(torch.load(file, weights_only=True))
        resumed.advance(20)
        need_alike(through, resumed)


def evaluated(snapshot: Snapshot) -> list[Tensor]:
    latents = torch.zeros(5, CONFIG.latent_dim)
    assert snapshot.generate_average is not None
    assert snapshot.discriminate is not None
    return [
        snapshot.generate(latents, None),
        snapshot.generate_average(latents, None),
        snapshot.discriminate(torch.zeros(5, 2), None),
    ]


def test_what_is_evaluated_between_updates_is_as_it_is_then(recording):
    eager, recorded = make(graphs="off", networks=NORMED, ema=0.9), make(networks=NORMED, ema=0.9)
    seen = []
    for _ in range(3):
        for each in (eager, recorded):
            each.advance(4)
        found = evaluated(recorded.snapshot())
        torch.testing.assert_close(found, evaluated(eager.snapshot()), rtol=0.0, atol=0.0)
        seen.append(found[0])
    assert not torch.equal(seen[0], seen[1])


def test_trainers_that_take_turns_share_no_graph(recording):
    pair, alone = [make(), make(seed=6)], [make(graphs="off"), make(seed=6, graphs="off")]
    for under_test in (*pair, *pair, *pair):
        under_test.advance(4)
    for recorded, eager in zip(pair, alone, strict=True):
        for _ in range(3):
            eager.advance(4)
        need_alike(eager, recorded)


def test_a_trial_that_stops_being_finite_is_named_alike(recording):
    eager, recorded = both_ways(d_lr=1e300, loss="wgan")
    need_recorded(recorded)
    assert recorded.snapshot().nonfinite == eager.snapshot().nonfinite is not None


# --- without graphs -------------------------------------------------------------------------------


def broken(draws: torch.Generator) -> graphs.Recorder:
    """Records the first of two updates, and breaks down in the middle of the second."""
    real, calls = OperationRecorder(draws), []

    def record(update: graphs.Update) -> graphs.Update:
        calls.append(update)
        replay = real(update)
        if len(calls) == 2:
            raise RuntimeError("the stream is\nin a bad way")
        return replay

    return record


@pytest.mark.parametrize(("graphs", "level"), [("on", logging.WARNING), ("auto", logging.INFO)])
def test_where_recording_fails_a_trial_trains_without_and_says_why(
    graphs, level, in_float64, caplog
):
    options = {"penalty": "wgan_gp", "ema": 0.9, "lr_schedule": "linear", "graphs": graphs}
    with caplog.at_level(logging.INFO), recording_on_the_cpu(broken):
        eager, failed = make(**options | {"graphs": "off"}), make(**options)
        draws = failed.rng
        for each in (eager, failed):
            each.advance(10)
            each.advance(10)
    need_alike(eager, failed)
    assert failed.rng is not draws  # which may still be recorded
    assert messages(caplog) == [
        (
            level,
            f"trains without CUDA graphs (graphs: {graphs}): recording failed: the stream is",
        )
    ]


def test_a_penalty_that_looks_at_values_is_not_recorded(recording, monkeypatch, caplog):
    def looking(judged: Judged, _draws: torch.Generator) -> Tensor:
        mean = judged.real_logits.mean()
        return mean if mean.item() > 0.0 else -mean

    monkeypatch.setitem(PENALTIES, "r1", partial(Memoryless, looking, 1.0))
    eager, failed = both_ways(penalty="r1")
    need_alike(eager, failed)
    assert "reads a value" in messages(caplog)[0][1]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "vae"}, "vae is not recorded"),
        ({"compile": True}, "compile has graphs of its own"),
        ({"simultaneous": True}, "share their gradients"),
    ],
)
def test_what_cannot_be_recorded_is_not_tried(changes, reason, recording, monkeypatch, caplog):
    monkeypatch.setattr("ganray.gan.player.torch.compile", lambda network: network)
    with caplog.at_level(logging.INFO):
        make(**changes, graphs="auto")
        make(**changes, graphs="on")
        make(**changes, graphs="off")
    info, warning = messages(caplog)
    assert (info[0], warning[0]) == (logging.INFO, logging.WARNING)
    assert reason in info[1]
    assert reason in warning[1]


def test_data_that_are_not_on_the_gpu_are_not_recorded(recording, monkeypatch):
    monkeypatch.setitem(graphs.RECORDERS, "meta", OperationRecorder)
    away = points()
    away.device = torch.device("meta")
    assert not graphs.are_wanted(CONFIG, MLP, away)


def test_networks_of_your_own_are_not_recorded(recording):
    own = {"name": "custom", "generator": "nets:G", "discriminator": "nets:D"}
    assert not graphs.are_wanted(CONFIG, own, points())
    assert graphs.are_wanted(CONFIG, MLP, points())


@pytest.mark.parametrize(
    ("graphs", "warnings"),
    [
        ("on", ["trains without CUDA graphs (graphs: on): there is no CUDA device"]),
        ("auto", []),
        ("off", []),
    ],
)
@pytest.mark.parametrize("model", ["gan", "autoencoder"])
def test_without_a_gpu_only_who_insists_is_told(graphs, warnings, model, caplog):
    with caplog.at_level(logging.DEBUG):
        under_test = make(graphs=graphs, model=model)
        under_test.advance(2)
    assert [text for _, text in messages(caplog)] == warnings
    assert under_test.snapshot().nonfinite is None


# --- what the recorder asks of torch.cuda, without a GPU ------------------------------------------


class Cuda:
    """Stands in for what of `torch.cuda` a recorder uses, and tells in which order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[str] = []
        self.signature = inspect.signature(torch.cuda.graph)
        clear = "_cuda_clearCublasWorkspaces"  # there is none where torch has no CUDA
        monkeypatch.setattr(torch._C, clear, lambda: self.events.append("clear"), raising=False)
        for name in ("Stream", "CUDAGraph", "graph", "stream"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "device", lambda _device: nullcontext())
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: "current")
        monkeypatch.setattr(torch.cuda, "synchronize", lambda: self.events.append("wait for all"))

    def Stream(self, _device: torch.device, priority: int) -> SimpleNamespace:
        assert priority == -1  # of a pool from which no trial has one
        return SimpleNamespace(wait_stream=lambda which: self.events.append(f"after {which}"))

    def CUDAGraph(self) -> SimpleNamespace:
        return SimpleNamespace(
            register_generator_state=lambda _draws: self.events.append("draws"),
            replay=lambda: self.events.append("replay"),
        )

    @contextmanager
    def stream(self, _stream: object) -> Iterator[None]:
        self.events.append("aside")
        yield
        self.events.append("back")

    @contextmanager
    def graph(self, *given: object) -> Iterator[None]:
        arguments = self.signature.bind(*given).arguments
        assert (arguments["pool"], arguments["capture_error_mode"]) == ("pool", "thread_local")
        self.events.append("record")
        yield
        self.events.append("recorded")


def test_a_recording_follows_a_warm_up_on_a_stream_of_its_own(monkeypatch):
    cuda = Cuda(monkeypatch)
    record = graphs.CudaRecorder(torch.Generator())
    replay = record(lambda: cuda.events.append("update"))
    warm_up = ["after current", "aside", "update", "update", "update", "draws"]
    recording = ["clear", "record", "update", "recorded", "clear"]
    assert cuda.events == [*warm_up, *recording, "back", "wait for all"]
    replay()
    assert cuda.events[-1] == "replay"


def test_nobody_waits_for_all_of_the_gpu_while_another_thread_records(monkeypatch):
    """That would break the recording; a trial that begins meanwhile waits for its end."""
    cuda = Cuda(monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "Stream", lambda *_, **__: SimpleNamespace(wait_stream=lambda _: None)
    )
    others: list[threading.Thread] = []

    def update() -> None:
        if not others:
            others.append(threading.Thread(target=new_stream))
            others[0].start()
            others[0].join(0.2)
        cuda.events.append("update")

    graphs.CudaRecorder(torch.Generator())(update)
    others[0].join(10.0)
    recorded = cuda.events.index("recorded")
    assert "wait for all" not in cuda.events[:recorded]
    assert cuda.events[recorded:].count("wait for all") == 2  # the recorder's own, and the other's


def test_a_recording_that_fails_is_waited_for_before_anything_is_put_back(monkeypatch):
    cuda = Cuda(monkeypatch)
    with pytest.raises(ZeroDivisionError):
        graphs.CudaRecorder(torch.Generator())(lambda: 1 // 0)
    assert cuda.events == ["after current", "aside", "wait for all"]


# --- on a GPU -------------------------------------------------------------------------------------

on_a_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="CUDA graphs need a CUDA device, and there is none here"
)
GPU_ROWS: list[dict[str, Any]] = [
    {},
    {"loss": "wgan", "penalty": "wgan_gp", "d_steps": 3},
    {"loss": "relativistic_paired", "penalty": "r1_r2", "d_grad_clip": 0.5, "ema": 0.9},
    {"optimizer": "rmsprop", "lr_schedule": "linear", "weight_clip": 0.1, "loss": "wgan"},
    {"optimizer": "sgd", "momentum": 0.5, "penalty": "lecam", "penalty_schedule": "cosine"},
    {"lr_schedule": "cosine", "instance_noise": 0.3, "conditioning": "acgan"},
    {"loss": "fgan_hellinger", "spectral_norm": True, "conditioning": "projection"},
]


@pytest.fixture
def exact_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products in float32 rather than TF32."""
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@on_a_gpu
@pytest.mark.parametrize(("updates", "rtol"), [(2, 1e-5), (20, 1e-4)])
@pytest.mark.parametrize("row", GPU_ROWS, ids=str)
def test_on_a_gpu_graphs_train_as_updates_without(row, updates, rtol, exact_gpu):
    eager, recorded = both_ways(chunks=(updates,), data=points("cuda"), **row)
    need_recorded(recorded)
    need_alike(eager, recorded, rtol)


@on_a_gpu
def test_on_a_gpu_images_are_trained_on_alike(exact_gpu):
    options = {"penalty": "r1", "diffaugment": "color,translation,cutout", "ema": 0.9}
    eager, recorded = both_ways(chunks=(2,), networks=CONV, data=images("cuda"), **options)
    need_recorded(recorded)
    need_alike(eager, recorded, 1e-5)


@on_a_gpu
def test_on_a_gpu_a_penalty_that_looks_at_values_trains_without_graphs(
    exact_gpu, monkeypatch, caplog
):
    def looking(judged: Judged, _draws: torch.Generator) -> Tensor:
        mean = judged.real_logits.mean()
        return mean if mean.item() > 0.0 else -mean

    monkeypatch.setitem(PENALTIES, "r1", partial(Memoryless, looking, 1.0))
    eager, failed = both_ways(chunks=(10,), data=points("cuda"), penalty="r1")
    assert not failed.is_recorded
    need_alike(eager, failed, 1e-4)
    assert "recording failed" in messages(caplog)[0][1]


@on_a_gpu
def test_on_a_gpu_a_trial_goes_on_from_a_checkpoint(exact_gpu):
    options = {"lr_schedule": "cosine", "penalty": "lecam", "ema": 0.9, "data": points("cuda")}
    through = make(**options)
    through.advance(13)
    file = io.BytesIO()
    torch.save(through.state_dict(), file)
    through.advance(10)
    for resumed in (make(**options), make(**options, graphs="off")):
        file.seek(0)
        resumed.load_state_dict(torch.load(file, weights_only=True))
        resumed.advance(10)
        need_alike(through, resumed, 1e-4)


@on_a_gpu
def test_on_a_gpu_what_is_evaluated_between_replays_is_as_it_is_then(exact_gpu):
    options = {"networks": NORMED, "ema": 0.9, "data": points("cuda")}
    eager, recorded = make(**options, graphs="off"), make(**options)
    seen = []
    for _ in range(3):
        for each in (eager, recorded):
            each.advance(4)
        found = evaluated(recorded.snapshot())
        torch.testing.assert_close(found, evaluated(eager.snapshot()), rtol=1e-4, atol=1e-6)
        seen.append(found[0])
    assert not torch.equal(seen[0], seen[1])
