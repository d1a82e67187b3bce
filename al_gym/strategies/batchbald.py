"""BatchBALD: mutual information between a batch's labels and the model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from al_gym.errors import ParameterError
from al_gym.pool.view import PoolView
from al_gym.strategies.bald import POSTERIORS
from al_gym.strategies.base import Strategy, argmax_with_ties, register_strategy, tie_noise, top_k
from al_gym.strategies.checks import number, one_of, whole, whole_or_all
from al_gym.strategies.committee import mutual_information, opinions
from al_gym.streams import Stream


@register_strategy("batchbald")
class BatchBald(Strategy):
    r"""Greedily the batch whose labels together say most about the model.

    $$x_j = \arg\max_x\; I(y_1, \ldots, y_{j-1}, y_x; \theta) = H[y_1, \ldots, y_{j-1}, y_x]
    - \sum_i \mathbb{E}_\theta H[y_i | \theta]$$

    Joint entropies are exact while the labels of the picks have at most `configurations` configurations, and beyond
    that estimated from as many, drawn from the models, as published. The models are those of `bald`.

    **Source:** Kirsch, van Amersfoort & Gal 2019, *BatchBALD: efficient and diverse batch acquisition for deep Bayesian
    active learning*. **Cost:** samples x configurations x classes x candidates a pick: the dearest strategy here in
    large batches. **Wins** over `bald` in batches, whose items it does not repeat; **loses** where `bald` does; in
    batches above ten or so the estimate is coarse and `power-bald` is cheaper and as good. While one class is seen it
    is random.

    Args:
        candidates: the number of highest BALD scores considered, at least the batch, or 'all'.
        configurations: label configurations in a joint entropy, at least the number of samples.
        posterior: 'laplace' or 'committee'.
        samples: draws, at least 2.
        C: inverse penalty of the model, above 0; that of the learner.

    Raises:
        ParameterError: a value outside these ranges.
    """

    name = "batchbald"
    deterministic = False

    def __init__(
        self,
        *,
        candidates: int | str = 100,
        configurations: int = 512,
        posterior: str = "laplace",
        samples: int = 32,
        C: float = 1.0,
    ) -> None:
        self.candidates = whole_or_all(self.name, "candidates", candidates)
        self.posterior = one_of(self.name, "posterior", posterior, POSTERIORS)
        self.samples = whole(self.name, "samples", samples, 2)
        self.configurations = whole(self.name, "configurations", configurations, self.samples)
        self.C = number(self.name, "C", C, 0, above=True)

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`."""
        if self.candidates is not None and int(k.max()) > self.candidates:
            raise ParameterError(
                f"{self.name}: candidates={self.candidates} is fewer than the batch of {int(k.max())}; raise it."
            )
        picked = top_k(torch.zeros_like(view.top1), view.candidates, k, stream)
        noise = tie_noise(stream, view.candidates.shape[1], k.device)
        for task, models in opinions(view, stream, posterior=self.posterior, samples=self.samples, C=self.C):
            items, size = view.candidates[task].nonzero()[:, 0], int(k[task])
            if self.candidates is not None and len(items) > self.candidates:
                score = models.score(items, mutual_information)
                items = items[score.topk(self.candidates).indices.sort().values]
            keyed = stream.child("configurations").take(np.array([task]))
            chosen = greedy_batch(models.proba(items).double(), size, self.configurations, noise[task, items], keyed)
            picked[task, :size] = items[chosen]
        return picked


def greedy_batch(p: Tensor, size: int, configurations: int, noise: Tensor, stream: Stream) -> Tensor:
    """(size,) int64: columns of p, greedily by joint mutual information.

    Args:
        p: (classes, samples, m) float64 probabilities.
        size: at most m.
        configurations: see `BatchBald`.
        noise: (m,) float64 in [0, 1), breaks ties.
        stream: of this one task; draws configurations.
    """
    conditional = torch.special.entr(p).sum(0).mean(0)
    allowed = torch.ones_like(conditional, dtype=torch.bool)
    joint, exact = p.new_ones(1, p.shape[1]), True
    chosen: list[int] = []
    for pick in range(size):
        score = joint_entropies(p, joint, exact) - conditional
        item = int(argmax_with_ties(score[None], allowed[None], noise[None]))
        allowed[item] = False
        chosen.append(item)
        exact = exact and len(joint) * len(p) <= configurations
        if pick + 1 == size:
            break
        joint = _extended(joint, p[:, :, item]) if exact else sampled_joint(p[:, :, chosen], configurations, stream)
    return torch.tensor(chosen, device=p.device)


def joint_entropies(p: Tensor, joint: Tensor, exact: bool) -> Tensor:
    """(m,) float64: entropy of the picks' labels and one more item's, for every item.

    Args:
        p: (classes, samples, m) float64.
        joint: (configurations, samples) float64, probability of each configuration of the picks' labels by each model.
        exact: whether `joint` holds all configurations; else it holds draws, and the entropy is a weighted mean.
    """
    both = joint @ p / joint.shape[1]
    entropy = torch.special.entr(both)
    if exact:
        return entropy.sum((0, 1))
    return (entropy / joint.mean(1)[None, :, None]).sum(0).mean(0)


def _extended(joint: Tensor, p: Tensor) -> Tensor:
    """(configurations * classes, samples): each configuration with each label of an item, p (classes, samples)."""
    return (joint[:, None, :] * p[None, :, :]).reshape(-1, p.shape[1])


def sampled_joint(p: Tensor, configurations: int, stream: Stream) -> Tensor:
    """(draws, samples) float64: configurations drawn from each model in turn, and their probability by every model.

    Args:
        p: (classes, samples, picks) float64.
        configurations: draws, rounded down to a multiple of the samples.
        stream: of this one task.
    """
    classes, samples, picks = p.shape
    each = configurations // samples
    joint = p.new_ones(samples * each, samples)
    for pick in range(picks):
        u = torch.from_numpy(stream.uniform(samples * each, draw=pick)).to(p.device).reshape(samples, each)
        edges = p[:, :, pick].T.cumsum(1)
        label = torch.searchsorted(edges, u * edges[:, -1:], right=True).clamp(max=classes - 1)
        joint *= p[label.reshape(-1), :, pick]
    return joint
