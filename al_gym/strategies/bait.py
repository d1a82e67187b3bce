"""BAIT: the batch whose Fisher information serves the pool best."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.base import Strategy, no_picks, register_strategy
from al_gym.strategies.checks import number
from al_gym.strategies.fisher import FisherTrace, leading_components
from al_gym.strategies.one_pool import Kept, OnePool, one_by_one
from al_gym.streams import Stream

Doubles = NDArray[np.float64]

MAX_PARAMETERS = 1024
_KEPT: Kept[Doubles] = Kept()


@register_strategy("bait")
class Bait(Strategy):
    r"""BAIT: the batch that minimises the trace of the pool's Fisher information times the inverse of the labelled.

    $$\min_S\; \mathrm{tr}\Big(\big(\lambda I + \sum_{x \in L \cup S} I(x)\big)^{-1} \sum_{x \in U} I(x)\Big), \qquad
    I(x) = (\mathrm{diag}(p) - p p^\top) \otimes \phi \phi^\top$$

    with p the probabilities of the classes seen and $\phi$ the learner's representation with a constant 1. Items are
    added greedily until there are `oversample` x b of them, then removed greedily until b are left. Every step updates
    the inverse and each item's part of the trace by a matrix of rank classes.

    **Source:** Ash, Goel, Krishnamurthy & Kakade 2021, *Gone fishing: neural active learning with Fisher embeddings*
    (sums instead of their averages, so that $\lambda$ = 1/C is the learner's own penalty). **Cost:** with D = classes x
    (width + 1) parameters: D^3 + items x D^2 a round, items x classes x D a step. Where D would pass 1,024 the
    representation is cut to its leading principal components; pools of more than 4,096 items: the labelled and 2,048
    random unlabelled ones. **Wins** over margin where the model fits; **loses** where it does not (15 points of AULC
    behind random on the one synthetic test task that no linear model can learn): it asks for the items that would pin
    the wrong weights down, at the rim of the pool.

    Args:
        ridge: lambda, above 0.
        oversample: items added per label before the removal, at least 1; 1 removes none.

    Raises:
        ParameterError: a value outside these ranges.
    """

    name = "bait"

    def __init__(self, *, ridge: float = 1.0, oversample: float = 2) -> None:
        self.ridge = number(self.name, "ridge", ridge, 0, above=True)
        self.oversample = number(self.name, "oversample", oversample, 1)

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`."""
        picked, noise = no_picks(k.cpu()), stream.uniform(view.valid.shape[1])
        representation = view.embedding()
        linear = representation is view.X  # then its width is that of the features, without their padding
        phi, proba, seen = (a.cpu().numpy() for a in (representation, view.proba, view.seen))
        for pool in one_by_one(view, k, stream):
            width = pool.X.shape[1] if linear else phi.shape[2]
            p = proba[pool.task, seen[pool.task]][:, pool.items].T.astype(np.float64)
            features = represent(phi[pool.task, : len(pool.X), :width], pool.items, max(p.shape[1], 1))
            order = self._choose(pool, features, p, int(k[pool.task]), noise[pool.task, pool.items])
            picked[pool.task, : len(order)] = torch.from_numpy(pool.items[order])
        return picked.to(k.device)

    def _choose(self, pool: OnePool, phi: Doubles, p: Doubles, k: int, noise: Doubles) -> NDArray[np.int64]:
        """(k,) positions in `pool.items`, in the order they were added."""
        known = np.zeros(len(phi), np.bool_)
        known[np.searchsorted(pool.items, pool.labelled)] = True
        trace = FisherTrace(phi, p, known, np.flatnonzero(pool.candidate), self.ridge)
        noise = noise[pool.candidate]
        added: list[int] = []
        for _ in range(min(int(np.ceil(self.oversample * k)), len(noise))):
            gain = trace.gain_of_adding().astype(np.float32)
            gain[added] = -np.inf
            added.append(int(np.lexsort((noise, gain))[-1]))
            trace.add(added[-1])
        while len(added) > k:
            loss = trace.loss_of_removing(np.array(added)).astype(np.float32)
            trace.remove(added.pop(int(np.lexsort((noise[added], -loss))[-1])))
        return np.flatnonzero(pool.candidate)[added]


def represent(phi: NDArray[np.float32], items: NDArray[np.int64], classes: int) -> Doubles:
    """(n, width + 1) of the chosen items, a constant last; cut so that parameters stay within `MAX_PARAMETERS`.

    Args:
        phi: (items, width) representation of the whole pool.
        items: (n,) positions.
        classes: number of classes that have parameters.
    """
    most, chosen = max(1, MAX_PARAMETERS // classes - 1), phi[items]
    if phi.shape[1] > most:
        features = _KEPT.get(chosen, most, lambda: leading_components(chosen.astype(np.float64), most))
    else:
        features = chosen.astype(np.float64)
    return np.concatenate([features, np.ones((len(features), 1))], axis=1)
