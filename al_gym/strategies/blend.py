"""Blend: a weighted sum of per-item signals, picked greedily."""

from __future__ import annotations

import torch
from torch import Tensor

from al_gym.errors import ParameterError
from al_gym.pool.geometry import EXACT_ITEMS
from al_gym.pool.view import PoolView
from al_gym.strategies.base import (
    Strategy,
    argmax_with_ties,
    as_arrays,
    as_mask,
    compiled,
    mask_after,
    no_picks,
    register_strategy,
    tie_noise,
    top_k,
)
from al_gym.strategies.calibration import temper
from al_gym.strategies.checks import number
from al_gym.strategies.combine import unit_range
from al_gym.strategies.herding import RANDOM_CANDIDATES, kernel_and_coverage
from al_gym.streams import Stream

SIGNALS = ("margin", "entropy", "least_confidence", "typicality", "novelty", "random", "coverage")
PARAMETERS = (*SIGNALS, "power", "width", "temperature", "diversity", "ratio")
_TASKS = 8  # matrices in flight


@register_strategy("blend")
class Blend(Strategy):
    r"""A weighted sum of uncertainty, typicality, novelty, coverage and chance, over a random share of the pool.

    $$x^* = \arg\max_{x \in R}\; \frac{\sum_j w_j z_j(x) + w_c\, G(x) / \max_R G}{\sum_j w_j + w_c}
    - d \max_{z \in S} K(x, z), \qquad G(x) = \sum_i u_i^\alpha \max(0, K(x, i) - c_i)$$

    with R a random share of the candidates, S the batch so far, each signal z shifted and scaled to [0, 1] over R,
    G the coverage gain of UHerding against labelled items and S ($\max_R G$ is taken before the first pick), and K
    Gaussian of width $w h$. The probabilities behind the three uncertainties and u are
    $\mathrm{softmax}(\mathrm{logits} / T)$. The defaults are `uherding:candidates=all`. `al_gym/Blend-v0` lets an
    agent set all of this every round.

    **Source:** ours; its parts are those of margin, entropy, least confidence, TypiClust's typicality and UHerding,
    the weighted sum is that of Ebert, Fritz & Schiele 2012, *RALF*. **Cost:** candidates x items a round. Pools of more
    than 4,096 items: coverage of 4,096 random items, at most 512 random candidates. **Wins** where its weights fit the
    task; **loses** with weights on noise.

    Args:
        margin: weight of one minus the gap between the two largest probabilities; as all weights at least 0.
        entropy: weight of the entropy.
        least_confidence: weight of one minus the largest probability.
        typicality: weight of minus the mean distance to the 20 nearest other items.
        novelty: weight of the distance to the nearest labelled item.
        random: weight of a uniform draw.
        coverage: weight of the coverage gain.
        power: exponent of the uncertainty in the coverage gain, at least 0.
        width: kernel width in units of h, above 0.
        temperature: divides the logits, above 0.
        diversity: penalty on the similarity to the batch so far, at least 0.
        ratio: the sampling ratio, share of the unlabelled items that are considered (at least the batch), in (0, 1].

    Raises:
        ParameterError: a value outside these ranges.
    """

    name = "blend"
    deterministic = False

    def __init__(
        self,
        *,
        margin: float = 0.0,
        entropy: float = 0.0,
        least_confidence: float = 0.0,
        typicality: float = 0.0,
        novelty: float = 0.0,
        random: float = 0.0,
        coverage: float = 1.0,
        power: float = 1.0,
        width: float = 1.0,
        temperature: float = 1.0,
        diversity: float = 0.0,
        ratio: float = 1.0,
    ) -> None:
        weights = (margin, entropy, least_confidence, typicality, novelty, random, coverage)
        values = [number(self.name, key, value, 0) for key, value in zip(SIGNALS, weights, strict=True)]
        values.append(number(self.name, "power", power, 0))
        values.append(number(self.name, "width", width, 0, above=True))
        values.append(number(self.name, "temperature", temperature, 0, above=True))
        values.append(number(self.name, "diversity", diversity, 0))
        values.append(number(self.name, "ratio", ratio, 0, above=True))
        if values[-1] > 1:
            raise ParameterError(f"blend: ratio must be at most 1, got {ratio!r}.")
        self.parameters = tuple(values)

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`."""
        fixed = torch.tensor(self.parameters, dtype=torch.float64, device=view.rows.device)
        return self.select_with(view, k, stream, fixed.expand(len(view), -1))

    def select_with(self, view: PoolView, k: Tensor, stream: Stream, parameters: Tensor) -> Tensor:
        """As `select`, with parameters of each task's own.

        Args:
            view: the campaigns. k: (tasks,) int64. stream: for ties and sampling.
            parameters: (tasks, 12) float64 in the order of `PARAMETERS`, each in its range.
        """
        share = dict(zip(PARAMETERS, parameters.unbind(1), strict=True))
        items = sampled_candidates(view, k, stream, share["ratio"])
        proba = temper(view.proba, share["temperature"].to(view.proba.dtype))
        uncertainty = uncertainties(proba, view.n_labelled)
        signals = {
            **uncertainty,
            "typicality": -view.neighbour_distance(),
            "novelty": view.squared_distance_to_labelled().nan_to_num(posinf=0.0).sqrt(),
            "random": torch.from_numpy(stream.child("random").uniform(view.valid.shape[1])).to(view.rows.device),
        }
        allowed = as_mask(items, view.valid.shape[1])
        total = torch.stack([share[name] for name in SIGNALS], 1).sum(1)
        total = torch.where(total > 0, total, 1.0)
        base = torch.zeros(items.shape, dtype=torch.float64, device=items.device)
        for name, values in signals.items():
            weight = (share[name] / total)[:, None]
            base += weight * unit_range(values.double(), allowed).gather(1, items.clamp(min=0))
        weight = uncertainty["margin"].pow(share["power"].to(torch.float32)[:, None])
        exponent = share["width"].square().reciprocal().to(torch.float32)
        return _pick(view, k, stream, items, base, weight, exponent, share["coverage"] / total, share["diversity"])


def sampled_candidates(view: PoolView, k: Tensor, stream: Stream, ratio: Tensor) -> Tensor:
    """(tasks, n) int64: a random share of the candidates, at least `k` of them, then -1."""
    count = view.candidates.sum(1)
    size = torch.maximum((count * ratio).ceil().to(torch.int64), k)
    if not view.geometry.exact:
        size = torch.minimum(size, k.clamp(min=RANDOM_CANDIDATES))
    size = torch.minimum(size, count)
    return top_k(torch.zeros_like(view.top1), view.candidates, size, stream.child("candidates"))


def uncertainties(proba: Tensor, n_labelled: Tensor) -> dict[str, Tensor]:
    """Three measures, (tasks, items) float32 each, of `proba` (tasks, classes, items); 1 without labels."""
    first, best = proba.max(1, keepdim=True)
    second = proba.scatter(1, best, -1.0).amax(1).clamp_(min=0)
    values = {
        "margin": 1 - (first[:, 0] - second),
        "entropy": torch.special.entr(proba).sum(1),
        "least_confidence": 1 - first[:, 0],
    }
    labelled = (n_labelled > 0)[:, None]
    return {name: torch.where(labelled, value, 1.0) for name, value in values.items()}


def _pick(
    view: PoolView,
    k: Tensor,
    stream: Stream,
    items: Tensor,
    base: Tensor,
    weight: Tensor,
    exponent: Tensor,
    share: Tensor,
    diversity: Tensor,
) -> Tensor:
    """(tasks, max(k)) int64: the greedy batch; see `al_gym.kernels.blend.greedy` for the arguments."""
    fast, geometry = compiled(k.device, "blend"), view.geometry
    out = no_picks(k)
    if fast is not None and geometry.exact:
        kernel, covered = geometry.ensure_kernel(view.rows), geometry.coverage(view.rows)
        parts = (kernel, view.rows, items, items, items, view.n_items, covered, weight)
        fast.greedy(*as_arrays(*parts, base, exponent, share, diversity, k), stream.keys, out.numpy())
        return out
    for at in torch.arange(len(view), device=k.device).split(_TASKS):
        values = (weight[at], base[at], exponent[at], share[at], diversity[at], k[at])
        picked = _pick_some(view.take(at), stream.take(at.cpu().numpy()), items[at], *values)
        out[at, : picked.shape[1]] = picked
    return out


def _pick_some(
    view: PoolView,
    stream: Stream,
    items: Tensor,
    weight: Tensor,
    base: Tensor,
    exponent: Tensor,
    share: Tensor,
    diversity: Tensor,
    k: Tensor,
) -> Tensor:
    """As `_pick`, with kernels between candidates and targets written out."""
    fast, values = compiled(k.device, "blend"), (base, exponent, share, diversity)
    targets, column, size = _targets(view, items)
    kernel, covered = kernel_and_coverage(view, items, targets, None)
    weight = weight if targets is None else weight.gather(1, targets)
    if fast is not None:
        second = torch.arange(items.shape[1]).repeat(len(k), 1)
        place = (kernel, torch.arange(len(k)), second, items, column, size)
        out = no_picks(k)
        fast.greedy(*as_arrays(*place, covered, weight, *values, k), stream.keys, out.numpy())
        return out
    noise = tie_noise(stream, view.valid.shape[1], k.device).gather(1, items.clamp(min=0))
    outside = torch.arange(covered.shape[1], device=k.device)[None, :] >= size[:, None]
    best = greedy(kernel, column, covered, weight.masked_fill(outside, 0.0), *values, items >= 0, k, noise)
    return items.gather(1, best.clamp(min=0)).masked_fill(best < 0, -1)


def _targets(view: PoolView, chosen: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
    """Targets of the kernel (None for all items), the target that each candidate is, and how many targets count."""
    if view.geometry.exact:
        return None, chosen.clamp(min=0), view.n_items
    sample = view.geometry.random_items(view.rows, EXACT_ITEMS)
    column = EXACT_ITEMS + torch.arange(chosen.shape[1], device=chosen.device).repeat(len(chosen), 1)
    return torch.cat([sample, chosen.clamp(min=0)], 1), column, torch.full_like(view.n_items, EXACT_ITEMS)


def greedy(
    kernel: Tensor,
    column: Tensor,
    covered: Tensor,
    weight: Tensor,
    base: Tensor,
    exponent: Tensor,
    share: Tensor,
    diversity: Tensor,
    allowed: Tensor,
    k: Tensor,
    noise: Tensor,
) -> Tensor:
    """The greedy loop on explicit kernels.

    Args:
        kernel: (tasks, m, targets) float32 of width 1. column: (tasks, m) the target that each candidate is.
        covered: (tasks, targets) of width 1. weight: (tasks, targets), 0 for targets that do not count.
        base: (tasks, m) float64. exponent: (tasks,). share: (tasks,). diversity: (tasks,).
        allowed: (tasks, m) bool. k: (tasks,). noise: (tasks, m), breaks ties.

    Returns:
        (tasks, max(k)) int64 candidate numbers, -1 after the first `k`.
    """
    kernel, cover = kernel.pow(exponent[:, None, None]), covered.pow(exponent[:, None])
    task, allowed, near, picked = torch.arange(len(k), device=k.device), allowed.clone(), torch.zeros_like(base), []
    scale: Tensor | None = None
    for _ in range(int(k.max())):
        gain = ((kernel - cover[:, None, :]).clamp_(min=0) * weight[:, None, :]).sum(-1, dtype=torch.float64)
        if scale is None:
            largest = gain.masked_fill(~allowed, 0.0).amax(1)
            scale = torch.where(largest > 0, share / torch.where(largest > 0, largest, 1.0), 0.0)[:, None]
        best = argmax_with_ties(base + scale * gain - diversity[:, None] * near, allowed, noise)
        picked.append(best)
        allowed[task, best] = False
        cover = torch.maximum(cover, kernel[task, best])
        near = torch.maximum(near, kernel[task, best].gather(1, column).double())
    return mask_after(torch.stack(picked, 1), k)
