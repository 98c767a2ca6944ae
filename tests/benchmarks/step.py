"""One update of D and one of G: ganray's trainer beside a loop written by hand.

The loop is what one writes for a single experiment: plain layers, plain formulas, torch's own
random numbers, nothing measured and nothing checked. Both start from the same weights and draw the
same numbers, and must arrive at the same weights, or the benchmark stops. They take turns in blocks
of a fraction of a second, so that whatever else the machine does slows both. Times are those of the
processor, for the same reason.

Two published trainers were timed once beside that loop, on the ring with a non-saturating loss, the
same layers and batches drawn as here; medians of 60 blocks, each other side effect of theirs off:
torch-mimicry 0.1.16 takes 1.09 times the loop's time, TorchGAN 0.1.0 1.18 times. Neither measures
gradients, and neither is part of this benchmark, as neither can be imported beside torch 2.13
alone: TorchGAN stops at "No module named 'torchvision'", torch-mimicry at "No module named
'tensorboard'" and, with that, at 'skimage' and tensorflow. They ran on empty stand-ins for these.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ganray.gan import player
from ganray.gan.real import RealData
from ganray.gan.trainer import GanTrainer
from ganray.trial import TrialConfig, derive_seed
from tests.benchmarks.results import Row, Rows

AIM = 1.03  # of a loss without a penalty
QUICK = {
    "ring, non_saturating",
    "ring, fgan_hellinger",
    "ring, wgan",
    "ring, wgan + wgan_gp",
    "DCGAN, non_saturating",
}
PENALISED = {  # and the same without its penalty
    "ring, wgan + wgan_gp": "ring, wgan",
    "ring, non_saturating + r1": "ring, non_saturating",
    "DCGAN, paired + r1_r2": "DCGAN, paired",
}
BLOCKS = 60  # for each of `--runs`
SECONDS = 0.05  # about so long is a block, and not less than one pair of updates
TOLERANCE = 1e-4  # of weights after a few updates; sums are rounded in another order

Logits = Callable[[Tensor, Tensor], Tensor]
Elementwise = Callable[[Tensor], Tensor]
Game = tuple[Logits, Logits]  # the losses of D and G
Slopes = Callable[[nn.Module, Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Case:
    """A configuration of ganray, and the same written down."""

    name: str
    config: TrialConfig
    networks: dict[str, object]
    data: Tensor
    by_hand: Callable[[], tuple[nn.Module, nn.Module]]  # D and G
    d_loss: Logits
    g_loss: Logits
    penalty: Slopes | None = None


# --- by hand --------------------------------------------------------------------------------------


def mlps() -> tuple[nn.Module, nn.Module]:
    d = nn.Sequential(
        *(nn.Linear(2, 128), nn.LeakyReLU(0.2)),
        *(nn.Linear(128, 128), nn.LeakyReLU(0.2)),
        nn.Linear(128, 1),
    )
    g = nn.Sequential(
        *(nn.Linear(16, 128), nn.ReLU()),
        *(nn.Linear(128, 128), nn.ReLU()),
        nn.Linear(128, 2),
    )
    return d, g


def dcgans() -> tuple[nn.Module, nn.Module]:
    d = nn.Sequential(
        *(nn.Conv2d(1, 16, 5, 2, 2), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(16, 32, 5, 2, 2), nn.LeakyReLU(0.2)),
        *(nn.Flatten(), nn.Linear(32 * 49, 1)),
    )
    g = nn.Sequential(
        *(nn.Linear(16, 32 * 49, bias=False), nn.Unflatten(1, (32, 7, 7))),
        *(nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.ConvTranspose2d(32, 16, 5, 2, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.ConvTranspose2d(16, 1, 5, 2, 2, 1), nn.Tanh()),
    )
    return d, g


def wgan_gp(d: nn.Module, real: Tensor, fake: Tensor, *_: Tensor) -> Tensor:
    epsilon = torch.rand(len(real), 1)
    between = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
    (slopes,) = torch.autograd.grad(d(between).sum(), between, create_graph=True)
    return 10 * ((slopes.norm(2, dim=1) - 1) ** 2).mean()


def r1(d: nn.Module, real: Tensor, fake: Tensor, on_real: Tensor, on_fake: Tensor) -> Tensor:
    (slopes,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
    return 5 * slopes.flatten(1).square().sum(1).mean()


def r1_r2(d: nn.Module, real: Tensor, fake: Tensor, on_real: Tensor, on_fake: Tensor) -> Tensor:
    (slopes,) = torch.autograd.grad(on_fake.sum(), fake, create_graph=True)
    r2 = 5 * slopes.flatten(1).square().sum(1).mean()
    return r1(d, real, fake, on_real, on_fake) + r2


class ByHand:
    """The loop, from the weights of a trainer."""

    def __init__(self, case: Case, like: GanTrainer) -> None:
        self.case = case
        self.d, self.g = case.by_hand()
        for mine, its in zip(self.weights(), weights(like), strict=True):
            mine.data.copy_(its)
        betas = (case.config.beta1, case.config.beta2)
        self.d_optimizer = torch.optim.Adam(self.d.parameters(), 2e-4, betas, fused=True)
        self.g_optimizer = torch.optim.Adam(self.g.parameters(), 2e-4, betas, fused=True)
        torch.manual_seed(derive_seed(case.config.seed, "draws"))

    def weights(self) -> list[Tensor]:
        return [*self.d.parameters(), *self.g.parameters()]

    def pairs(self, count: int) -> None:
        case, d, g = self.case, self.d, self.g
        batch, clip, data = case.config.batch_size, case.config.weight_clip, case.data
        needs_slopes = case.penalty in (r1, r1_r2)
        compares = case.config.loss.startswith("relativistic")
        for _ in range(count):
            real = data[torch.randint(len(data), (batch,))]
            with torch.no_grad():
                fake = g(torch.randn(batch, 16))
            if needs_slopes:
                real.requires_grad_()
                fake.requires_grad_(case.penalty is r1_r2)
            on_real, on_fake = d(real).squeeze(1), d(fake).squeeze(1)
            loss = case.d_loss(on_real, on_fake)
            if case.penalty is not None:
                loss = loss + case.penalty(d, real, fake, on_real, on_fake)
            self.d_optimizer.zero_grad()
            loss.backward()
            self.d_optimizer.step()
            if clip is not None:
                for p in d.parameters():
                    p.data.clamp_(-clip, clip)

            d.requires_grad_(False)
            picked = torch.randint(len(data), (batch,)) if compares else None
            on_fake = on_real = d(g(torch.randn(batch, 16))).squeeze(1)
            if picked is not None:
                on_real = d(data[picked]).squeeze(1)
            loss = case.g_loss(on_real, on_fake)
            self.g_optimizer.zero_grad()
            loss.backward()
            self.g_optimizer.step()
            d.requires_grad_(True)


# --- cases ----------------------------------------------------------------------------------------


def game(on_real: Elementwise, on_fake: Elementwise, for_g: Elementwise | None = None) -> Game:
    """D lowers `on_real` of real logits plus `on_fake` of fake ones, G lowers `for_g` of those."""
    for_g = for_g or on_real
    return (
        lambda real, fake: on_real(real).mean() + on_fake(fake).mean(),
        lambda real, fake: for_g(fake).mean(),
    )


def paired(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(fake - real).mean()


def average(real: Tensor, fake: Tensor) -> Tensor:
    on_real, on_fake = F.softplus(fake.mean() - real), F.softplus(fake - real.mean())
    return 0.5 * (on_real.mean() + on_fake.mean())


LOGISTIC = game(lambda v: F.softplus(-v), F.softplus)
WGAN = game(lambda v: -v, lambda v: v)
# As papers print them, of f-GANs in table 2 of Nowozin et al. 2016: nothing against overflow.
GAMES: dict[str, Game] = {
    "minimax": game(lambda v: F.softplus(-v), F.softplus, lambda v: -F.softplus(v)),
    "non_saturating": LOGISTIC,
    "lsgan": game(lambda v: 0.5 * (v - 1) ** 2, lambda v: 0.5 * v**2),
    "wgan": WGAN,
    "hinge": game(lambda v: F.relu(1 - v), lambda v: F.relu(1 + v), lambda v: -v),
    "relativistic_paired": (paired, lambda real, fake: paired(fake, real)),
    "relativistic_average": (average, lambda real, fake: average(fake, real)),
    "fgan_kl": game(lambda v: -v, lambda v: torch.exp(v - 1)),
    "fgan_reverse_kl": game(lambda v: torch.exp(-v), lambda v: v - 1),
    "fgan_pearson": game(lambda v: -v, lambda v: 0.25 * v**2 + v),
    "fgan_neyman": game(lambda v: torch.exp(-v) - 1, lambda v: 2 - 2 * torch.exp(-0.5 * v)),
    "fgan_hellinger": game(lambda v: torch.exp(-v) - 1, lambda v: torch.exp(v) - 1),
    "fgan_js": game(lambda v: F.softplus(-v), F.softplus),
    "fgan_gan": game(lambda v: F.softplus(-v), F.softplus),
    "fgan_tv": game(lambda v: -0.5 * torch.tanh(v), lambda v: 0.5 * torch.tanh(v)),
}


def cases() -> Iterator[Case]:
    """Everything that is compared."""
    random = torch.Generator().manual_seed(0)
    angles = torch.randint(8, (4000,), generator=random) * torch.pi / 4
    points = torch.stack([angles.cos(), angles.sin()], 1)
    points += 0.02 * torch.randn(4000, 2, generator=random)
    mlp = ({"name": "mlp", "width": 128, "depth": 2}, points, mlps)
    for loss, game_of_it in GAMES.items():
        yield Case(f"ring, {loss}", TrialConfig(loss=loss), *mlp, *game_of_it)
    clipped = TrialConfig(loss="wgan", weight_clip=0.1)
    yield Case("ring, wgan, weights clipped", clipped, *mlp, *WGAN)
    gp = TrialConfig(loss="wgan", penalty="wgan_gp")
    yield Case("ring, wgan + wgan_gp", gp, *mlp, *WGAN, wgan_gp)
    yield Case("ring, non_saturating + r1", TrialConfig(penalty="r1"), *mlp, *LOGISTIC, r1)
    images = torch.rand(1000, 1, 28, 28, generator=random) * 2 - 1
    dcgan = ({"name": "dcgan", "width": 16}, images, dcgans)
    r3gan = TrialConfig(loss="relativistic_paired", penalty="r1_r2", batch_size=64)
    yield Case("DCGAN, non_saturating", TrialConfig(batch_size=64), *dcgan, *LOGISTIC)
    paired_only = TrialConfig(loss="relativistic_paired", batch_size=64)
    yield Case("DCGAN, paired", paired_only, *dcgan, *GAMES["relativistic_paired"])
    yield Case("DCGAN, paired + r1_r2", r3gan, *dcgan, *GAMES["relativistic_paired"], r1_r2)


# --- side by side ---------------------------------------------------------------------------------


def step(runs: int, *, full: bool = True) -> Rows:
    """A pair of updates of D and G, by ganray and by hand, and the least that it can take.

    The least are the operations that the loop multiplies and adds, at the rate at which this
    machine multiplies two large matrices on one core. Of a penalty, what comes on top of both.

    Args:
        runs: blocks are `BLOCKS` times as many.
        full: all losses; else one of each kind.
    """
    print(f"\na pair of updates, one thread; ratio: median (quartiles) of {BLOCKS * runs} blocks")
    print(f"  {'':28} {'ganray':>9} {'by hand':>9}   ratio            times its floor")
    rate = _rate()
    found = [_measured(case, runs, rate) for case in cases() if full or case.name in QUICK]
    by_name = {each.name: each for each in found}
    rows = [row for each in found for row in each.rows()]
    for name, plain in PENALISED.items():
        if name in by_name:
            rows.append(_of_penalty(by_name[name], by_name[plain]))
            print(rows[-1], flush=True)
    return rows


@dataclass(frozen=True)
class Measured:
    """What a case took: seconds of a pair, ours and by hand, of each block; and at the least."""

    name: str
    ours: list[float]
    hand: list[float]
    floor: float

    def rows(self) -> Rows:
        """The ratio of both, and ours in floors."""
        ratios = [a / b for a, b in zip(self.ours, self.hand, strict=True)]
        low, ratio, high = statistics.quantiles(ratios, n=4)
        floors = [seconds / self.floor for seconds in self.ours]
        least, floor, most = statistics.quantiles(floors, n=4)
        return [
            Row("step", f"{self.name} / by hand", ratio, low, high, "x"),
            Row("step", f"{self.name} / floor", floor, least, most, "x"),
        ]


def _of_penalty(with_it: Measured, plain: Measured) -> Row:
    floor = with_it.floor - plain.floor
    costs = [(a - b) / floor for a, b in zip(with_it.ours, plain.ours, strict=True)]
    low, cost, high = statistics.quantiles(costs, n=4)
    return Row("step", f"{with_it.name}: penalty / its floor", cost, low, high, "x")


def _measured(case: Case, runs: int, rate: float) -> Measured:
    ours = GanTrainer(case.config, case.networks, RealData(case.data))
    hand = ByHand(case, ours)
    pairs = _warm_up(ours, hand)
    blocks = [_block(ours, hand, pairs, turn) for turn in range(BLOCKS * runs)]
    mine, its = ([block[way] for block in blocks] for way in (0, 1))
    found = Measured(case.name, mine, its, operations(hand) / rate)
    ratio, floor = found.rows()
    print(
        f"  {case.name:28} {1e3 * statistics.median(mine):6.2f} ms "
        f"{1e3 * statistics.median(its):6.2f} ms  {ratio.value:.3f} "
        f"({ratio.low:.3f} … {ratio.high:.3f})  {floor.value:6.2f}"
        f"{'' if ratio.value <= AIM or case.penalty else '  above the aim'}",
        flush=True,
    )
    if ratio.value > AIM and case.penalty is None:
        print(f"    {_parts(ours, pairs)}")
    return found


def operations(hand: ByHand) -> int:
    """Multiplications and additions of a pair, of matrices and convolutions alone."""
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = Untracked()
    with counter:
        hand.pairs(1)
    return counter.get_total_flops()


class Untracked(AbstractContextManager["Untracked"]):
    """No shares of modules: to find them torch hangs hooks on what penalties differentiate by."""

    parents = ("Global",)

    def __exit__(self, *error: object) -> None:
        return None


def _rate(size: int = 1024, tries: int = 5) -> float:
    """Operations a second of the processor, of one large product of matrices; the best of some."""
    matrix = torch.rand(size, size)
    taken = []
    for _ in range(tries):
        began = time.process_time()
        matrix @ matrix
        taken.append(time.process_time() - began)
    return 2 * size**3 / min(taken)


def weights(of: GanTrainer) -> list[Tensor]:
    """All weights, D's first."""
    return [*of.networks.discriminator.parameters(), *of.networks.generator.parameters()]


def _warm_up(ours: GanTrainer, hand: ByHand) -> int:
    """Compare where both get to; the pairs of updates of a block."""
    seconds, _ = _block(ours, hand, 5, 0)
    off = max(
        (a - b).abs().max().item() for a, b in zip(weights(ours), hand.weights(), strict=True)
    )
    if off > TOLERANCE:
        raise SystemExit(f"{hand.case.name}: the two train differently; weights differ by {off}")
    return max(1, round(SECONDS / seconds))


def _block(ours: GanTrainer, hand: ByHand, pairs: int, turn: int) -> tuple[float, float]:
    """Seconds for a pair, ours and by hand; who goes first alternates."""
    ways = [lambda: ours.advance(2 * pairs), lambda: hand.pairs(pairs)]
    seconds = [0.0, 0.0]
    for way in (0, 1) if turn % 2 else (1, 0):
        start = time.process_time()
        ways[way]()
        seconds[way] = (time.process_time() - start) / pairs
    return seconds[0], seconds[1]


def _parts(ours: GanTrainer, pairs: int) -> str:
    """The shares of a trainer's time, for what has a function of its own; `_penalise` may judge."""
    places = [
        (player, "clip_gradients"),
        (player, "clip_weights"),
        (player.Player, "backward"),
        (GanTrainer, "_judge"),
        (GanTrainer, "_fake"),
        (GanTrainer, "_real"),
        (GanTrainer, "_penalise"),
        *((of.optimizer, "step") for of in ours.players.values()),
    ]
    spent: dict[str, float] = {}
    with ExitStack() as stack:
        for owner, name in places:
            stack.enter_context(_timed(owner, name, spent))
        start = time.process_time()
        ours.advance(2 * pairs)
        whole = time.process_time() - start
    return ", ".join(f"{name} {seconds / whole:.1%}" for name, seconds in spent.items() if seconds)


@contextmanager
def _timed(owner: object, name: str, spent: dict[str, float]) -> Iterator[None]:
    function = getattr(owner, name)
    spent.setdefault(name, 0.0)

    def timed(*args: object, **named: object) -> object:
        start = time.process_time()
        try:
            return function(*args, **named)
        finally:
            spent[name] += time.process_time() - start

    with mock.patch.object(owner, name, timed):
        yield
