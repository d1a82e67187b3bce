"""The protocol of query strategies, their registry, and batched selection by score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import ModuleType
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from al_gym import kernels
from al_gym.pool.view import PoolView
from al_gym.registry import Registry
from al_gym.streams import Stream


class Strategy(ABC):
    """Chooses which items to label next, for a batch of campaigns at once.

    A strategy sees a `PoolView` alone: no hidden label. Constructor parameters are keyword-only.

    Attributes:
        name: the registered name; the stream of ties and draws is keyed by it.
        deterministic: whether the selection is the same for every task key, ties aside.
        label: the text it was made from, so that tables tell two settings of it apart; empty if it was not.
    """

    name: ClassVar[str] = ""
    deterministic: ClassVar[bool] = True
    label: str = ""

    @abstractmethod
    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """Positions of the items to label.

        Args:
            view: the campaigns; every one has at least `k` candidates.
            k: (tasks,) int64, batch sizes, at least 1.
            stream: random draws keyed by (task, round, strategy name), for ties and sampling.

        Returns:
            (tasks, max(k)) int64: distinct candidates, in the order of picking, -1 after the first `k`.
        """


class ScoreStrategy(Strategy):
    """Takes the `k` candidates of the highest score; ties are broken by the task's stream."""

    @abstractmethod
    def score(self, view: PoolView) -> Tensor:
        """(tasks, items) float32, finite on candidates; larger is taken first."""

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`."""
        return top_k(self.score(view), view.candidates, k, stream)


STRATEGIES: Registry[Strategy] = Registry("strategy", "al_gym.strategies", entry_points="al_gym.strategies")
register_strategy = STRATEGIES.register


def compiled(device: torch.device, name: str) -> ModuleType | None:
    """The numba module `al_gym.kernels.<name>`, or None where torch has to do."""
    return kernels.load(name) if device.type == "cpu" and kernels.available() else None


def as_arrays(*tensors: Tensor) -> list[NDArray[Any]]:
    """CPU tensors as contiguous arrays, the layout that kernels are compiled for; shared where they are so already."""
    return [tensor.contiguous().numpy() for tensor in tensors]


def no_picks(k: Tensor) -> Tensor:
    """(tasks, max(k)) int64, -1: for kernels to fill."""
    return torch.full((len(k), int(k.max())), -1, device=k.device)


def tie_noise(stream: Stream, items: int, device: torch.device, draw: int = 0) -> Tensor:
    """(tasks, items) float64 in [0, 1): the order in which equal scores are taken, largest first."""
    return torch.from_numpy(stream.uniform(items, draw)).to(device)


def top_k(score: Tensor, candidates: Tensor, k: Tensor, stream: Stream) -> Tensor:
    """The `k` candidates of the highest score, exact ties broken by `stream`.

    Args:
        score: (tasks, items) float32.
        candidates: (tasks, items) bool.
        k: (tasks,) int64.
        stream: breaks exact ties.

    Returns:
        (tasks, max(k)) int64, -1 after the first `k`.
    """
    fast = compiled(score.device, "select")
    if fast is not None:
        selected: Tensor = fast.top_k(score, candidates, k, stream)
        return selected
    width = int(k.max())
    shuffled = tie_noise(stream, score.shape[1], score.device).argsort(dim=1, descending=True)
    keyed = score.masked_fill(~candidates, -torch.inf).gather(1, shuffled)
    best = keyed.sort(dim=1, descending=True, stable=True).indices[:, :width]
    return mask_after(shuffled.gather(1, best), k)


def mask_after(picked: Tensor, k: Tensor) -> Tensor:
    """Set everything after the first `k` picks of each task to -1."""
    return picked.masked_fill(torch.arange(picked.shape[1], device=k.device)[None, :] >= k[:, None], -1)


def as_mask(positions: Tensor, items: int) -> Tensor:
    """(tasks, items) bool: true at `positions` (tasks, n) int64; -1 marks none."""
    mask = torch.zeros(len(positions), items + 1, dtype=torch.bool, device=positions.device)
    return mask.scatter_(1, positions.masked_fill(positions < 0, items), True)[:, :items]


def argmax_with_ties(score: Tensor, allowed: Tensor, noise: Tensor) -> Tensor:
    """(tasks,) int64: the allowed item of the highest score, equal scores by the highest noise.

    Args:
        score: (tasks, items).
        allowed: (tasks, items) bool, at least one a task.
        noise: (tasks, items) in [0, 1).
    """
    masked = score.masked_fill(~allowed, -torch.inf)
    best = masked.max(dim=1, keepdim=True).values
    return noise.masked_fill(~(allowed & (masked == best)), -1.0).argmax(dim=1)
