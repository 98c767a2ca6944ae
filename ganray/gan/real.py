"""Real samples as a trainer draws them: in random batches, on the device that trains."""

import torch
import torch.nn.functional as F
from torch import Tensor

SHARE_OF_DEVICE = 0.5  # of a GPU's free memory that data may take before they stay on the host
STD_SAMPLES = 10_000


class RealData:
    """Training samples, kept as they are: images may stay uint8 until they are drawn.

    Args:
        samples: shape [N, ...], float32, or uint8 for images.
        labels: the class of each sample, shape [N], int64; None if there are none.
        classes: how many there are.
        conditions: vectors that the players may be told of each sample, shape [N, K]; None: its
            label as a one-hot vector, if it has one.
        device: where batches are wanted. The samples themselves go there, too, if they fit.
    """

    def __init__(
        self,
        samples: Tensor,
        labels: Tensor | None = None,
        classes: int = 0,
        conditions: Tensor | None = None,
        *,
        device: str | torch.device = "cpu",
    ) -> None:
        self.device = torch.device(device)
        home = self.device if _fits(samples, self.device) else torch.device("cpu")
        self.samples = samples.to(home)
        self.labels = None if labels is None else labels.to(home)
        self.classes = classes
        self._conditions = None if conditions is None else conditions.to(home)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return tuple(self.samples.shape[1:])

    @property
    def condition_size(self) -> int:
        """Length of a condition vector; 0 if there are none."""
        return self.classes if self._conditions is None else self._conditions.shape[1]

    def condition_examples(self, count: int) -> Tensor | None:
        """The first condition vectors, shape [count, K]; None where labels or nothing are told."""
        if self._conditions is None:
            return None
        return self._conditions[:count].cpu().clone()  # a view would be saved with all it is of

    def std(self) -> float:
        """The standard deviation over all values of (up to 10,000) samples, in data units."""
        return float(as_float(self.samples[:STD_SAMPLES]).std())

    def pick(self, size: int, rng: torch.Generator, among: int | None = None) -> Tensor:
        """Random places in the data, with repetition, shape [size].

        Args:
            size: how many.
            rng: on `device`.
            among: pick only from the first so many; None: from all.
        """
        top = len(self) if among is None else among
        picked = torch.randint(top, (size,), generator=rng, device=rng.device)
        return picked.to(self.samples.device)

    def samples_at(self, picked: Tensor) -> Tensor:
        """As float32 on `device`, images in [-1, 1]; shape [B, ...]."""
        return as_float(self.samples[picked].to(self.device))

    def labels_at(self, picked: Tensor) -> Tensor:
        """Shape [B]."""
        if self.labels is None:
            raise ValueError("these data have no labels")
        return self.labels[picked].to(self.device)

    def conditions_at(self, picked: Tensor) -> Tensor:
        """Shape [B, K]."""
        if self._conditions is not None:
            return self._conditions[picked].to(self.device)
        return F.one_hot(self.labels_at(picked), self.classes).float()


def as_float(samples: Tensor) -> Tensor:
    """Bytes 0…255 as float32 in [-1, 1]; floats as they are."""
    if samples.dtype == torch.uint8:
        return samples.float().div_(127.5).sub_(1.0)
    return samples


def _fits(samples: Tensor, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, _total = torch.cuda.mem_get_info(device)
    return samples.nbytes <= SHARE_OF_DEVICE * free
