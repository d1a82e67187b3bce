"""BADGE: k-means++ on gradient embeddings."""

from types import ModuleType

import torch
from torch import Tensor

from al_gym.pool.tiles import as_tiles
from al_gym.pool.view import PoolView
from al_gym.strategies.base import (
    Strategy,
    argmax_with_ties,
    as_arrays,
    compiled,
    mask_after,
    no_picks,
    register_strategy,
    tie_noise,
)
from al_gym.streams import Stream


@register_strategy("badge")
class Badge(Strategy):
    r"""BADGE: k-means++ seeding on the loss gradients under the predicted label.

    The gradient embedding of x is $g(x) = (p(x) - e_{\hat y}) \otimes \phi(x)$ with $\phi$ the learner's
    representation, no constant appended, as published. First the largest norm, as in the authors' code; then x
    with probability proportional to $\min_{z \in S} \lVert g(x) - g(z) \rVert^2$ over the unlabelled items, one
    keyed draw a pick (uniform if all are 0).

    **Source:** Ash, Zhang, Krishnamurthy, Langford & Agarwal 2020, *Deep batch active learning by diverse,
    uncertain gradient lower bounds*. **Cost:** items x (classes + width) a pick, any pool size: the product is
    never built, $\langle g, g' \rangle = \langle p - e, p' - e' \rangle \langle \phi, \phi' \rangle$. **Wins** with
    large batches and many classes; **loses** a little to margin with small batches. A batch of one is the
    largest gradient norm, without chance. scikit-activeml's `Badge` also counts the origin as a center.
    """

    name = "badge"
    deterministic = False

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`."""
        fast = compiled(k.device, "greedy")
        if fast is None:
            return k_means_seeding(view, view.embedding(), k, stream)
        return _compiled(fast, view, k, stream)


def k_means_seeding(view: PoolView, phi: Tensor, k: Tensor, stream: Stream) -> Tensor:
    """K-means++ on gradient embeddings; `phi` is (tasks, items, width) float32."""
    gap = view.proba.scatter_add(1, view.predicted[:, None, :], -view.valid.float()[:, None, :])
    norm = gap.square().sum(1).double() * phi.square().sum(2).double()
    allowed = view.candidates.clone()
    noise = tie_noise(stream, allowed.shape[1], allowed.device)
    task = torch.arange(len(view), device=allowed.device)
    item = argmax_with_ties(norm, allowed, noise)
    picked, nearest = [item], torch.full_like(norm, torch.inf)
    for j in range(1, int(k.max())):
        allowed[task, item] = False
        inner = (gap * gap[task, :, item][:, :, None]).sum(1).double() * (phi @ phi[task, item][:, :, None])[..., 0]
        nearest = torch.minimum(nearest, (norm + norm[task, item][:, None] - 2 * inner).clamp(min=0))
        uniform = torch.from_numpy(stream.uniform(1, draw=j)).to(norm.device)
        item = sample_proportional(nearest, allowed, uniform)
        picked.append(item)
    return mask_after(torch.stack(picked, 1), k)


def sample_proportional(weight: Tensor, allowed: Tensor, uniform: Tensor) -> Tensor:
    """(tasks,) int64: an allowed item with probability proportional to its weight; uniform if all weights are 0.

    Args:
        weight: (tasks, items) float64, non-negative.
        allowed: (tasks, items) bool.
        uniform: (tasks, 1) float64 in [0, 1).
    """
    weight = weight.masked_fill(~allowed, 0.0)
    weight = torch.where(weight.sum(1, keepdim=True) > 0, weight, allowed.double())
    cumulative = weight.cumsum(1)
    position = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)[:, 0]
    last = cumulative.argmax(1)  # the first position of the total: never past the last positive weight
    return torch.minimum(position, last)


def _compiled(fast: ModuleType, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
    """`k_means_seeding` on the CPU, by numba."""
    a, out = view.arrays, no_picks(k)
    if view.linear:  # then the storage can be read in place, without the padding of the features
        phi, phi_rows, width = view.geometry.tiles(view.rows), view.rows, view.n_features
    else:
        embedding = view.embedding()
        phi, phi_rows, width = as_tiles(embedding), torch.arange(len(k)), torch.full_like(k, embedding.shape[2])
    model = as_arrays(a.proba, a.predicted, view.rows, a.n_items, a.n_classes)
    fast.badge(*model, *as_arrays(phi, phi_rows, width, view.candidates, k), stream.keys, out.numpy())
    return out
