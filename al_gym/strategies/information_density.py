"""Information density."""

import torch
from torch import Tensor

from al_gym.pool import distances
from al_gym.pool.geometry import SAMPLE
from al_gym.pool.view import PoolView
from al_gym.strategies.base import ScoreStrategy, compiled, register_strategy
from al_gym.strategies.checks import number, one_of

_CHUNK = 4096  # items compared with the sample at once, in pools too large for a matrix of pairs


@register_strategy("information-density")
class InformationDensity(ScoreStrategy):
    r"""Uncertain items that resemble much of the pool.

    $$x^* = \arg\max_x\; u(x) \left(\frac{1}{|U|} \sum_{z \in U} \text{sim}(x, z)\right)^\beta$$

    over the unlabelled items U. `gaussian` is the kernel $\exp(-d^2 / 2h^2)$ with h as in `maxherding`; `cosine` is
    $(1 + \cos) / 2$, which is never negative. modAL's `information_density` is the density alone, over all items it is
    given, and falls more slowly with their distance: the mean of $1 / (1 + d)$, d Euclidean or $1 - \cos$.

    **Source:** Settles & Craven 2008, *An analysis of active learning strategies for sequence labeling tasks* (with
    entropy and the cosine). **Cost:** items^2 a round (the kernel is kept), items x features with the cosine; pools of
    more than 4,096 items: the similarity to 1,024 random ones. **Wins** over plain uncertainty where outliers are
    uncertain; **loses** in batches, whose items crowd together in one dense place.

    Args:
        beta: weight of the density, at least 0: 0 is plain uncertainty.
        uncertainty: 'entropy', 'margin' (1 - margin) or 'least-confidence'.
        similarity: 'gaussian' or 'cosine'.

    Raises:
        ParameterError: a value outside these.
    """

    name = "information-density"

    def __init__(self, *, beta: float = 1.0, uncertainty: str = "entropy", similarity: str = "gaussian") -> None:
        self.beta = number(self.name, "beta", beta, 0)
        known = ("entropy", "margin", "least-confidence")
        self.uncertainty = one_of(self.name, "uncertainty", uncertainty, known)
        self.similarity = one_of(self.name, "similarity", similarity, ("gaussian", "cosine"))

    def score(self, view: PoolView) -> Tensor:
        """(tasks, items) float32, at least 0."""
        if self.uncertainty == "entropy":
            uncertainty = view.entropy
        else:
            uncertainty = 1 - (view.margin if self.uncertainty == "margin" else view.top1)
        density = gaussian_density(view) if self.similarity == "gaussian" else cosine_density(view)
        return uncertainty * density.pow(self.beta)


def cosine_density(view: PoolView) -> Tensor:
    """(tasks, items) float32 in [0, 1]: mean over the unlabelled items of (1 + cos) / 2."""
    directions = torch.nn.functional.normalize(view.X, dim=2)
    unlabelled = view.candidates.float()
    mean = (unlabelled[:, None, :] @ directions) / unlabelled.sum(1)[:, None, None].clamp(min=1)
    return ((1 + (directions @ mean.mT)[:, :, 0]) / 2).clamp(0, 1)


def gaussian_density(view: PoolView) -> Tensor:
    """(tasks, items) float32 in [0, 1]: mean kernel value to the unlabelled items."""
    unlabelled = view.candidates.float()
    if view.geometry.exact:
        kernel = view.geometry.ensure_kernel(view.rows)
        total = torch.stack([kernel[row] @ weight for row, weight in zip(view.rows.tolist(), unlabelled, strict=True)])
        return total / unlabelled.sum(1, keepdim=True).clamp(min=1)
    targets = view.geometry.random_items(view.rows, SAMPLE)
    weight = unlabelled.gather(1, targets)
    backend = compiled(view.rows.device, "geometry") or distances
    parts = []
    for part in torch.arange(unlabelled.shape[1], device=targets.device).split(_CHUNK):
        kernel = view.X.new_empty(len(view), len(part), SAMPLE)
        items = part.repeat(len(view), 1)
        backend.kernel_between(view.arrays.X, view.rows, view.n_features, items, targets, view.bandwidth(), kernel)
        parts.append((kernel @ weight[:, :, None])[:, :, 0])
    return torch.cat(parts, 1) / weight.sum(1, keepdim=True).clamp(min=1)
