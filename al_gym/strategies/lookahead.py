"""What the look-ahead strategies share: candidates, refits with every label, and expectations over the labels."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from al_gym.errors import ParameterError
from al_gym.pool.view import PoolView
from al_gym.strategies.base import Strategy, as_mask, compiled, tie_noise, top_k
from al_gym.strategies.checks import number, whole, whole_or_all
from al_gym.strategies.refits import refit_with_label
from al_gym.strategies.surrogate import Surrogate, surrogates
from al_gym.streams import Stream

_CHUNK = 1 << 19  # logits held at once


@dataclass(frozen=True)
class Trial:
    """Refits of one task's model with several possible labels of some items.

    Attributes:
        model: the model before.
        items: (m,) int64 positions.
        outcomes: (m, T) int64, the labels tried, as class numbers of the model.
        theta: (classes, m * T, d) float32, change of the weights, outcome by outcome, item after item.
    """

    model: Surrogate
    items: Tensor
    outcomes: Tensor
    theta: Tensor

    @classmethod
    def run(cls, model: Surrogate, items: Tensor, outcomes: int | None, steps: int) -> Trial:
        """Refit with the `outcomes` most probable labels of each item, all if None."""
        if outcomes is None or outcomes >= model.n_classes:
            tried = torch.arange(model.n_classes, device=items.device).repeat(len(items), 1)
        else:
            tried = model.proba[:, items].topk(outcomes, dim=0).indices.T.contiguous()
        return cls(model, items, tried, refit_with_label(model, items, tried, steps))

    def expected(self, value: Tensor) -> Tensor:
        """(m,): mean of `value` (m * T,) over the labels, by p(y|x) scaled to sum to one over those tried."""
        p = self.model.proba[:, self.items].T.gather(1, self.outcomes)
        return ((p * value.reshape(p.shape)).sum(1) / p.sum(1)).float()

    def pool_risk(self, targets: Tensor, kind: str) -> Tensor:
        """(m * T,) float64: how much the sum over `targets` (n,) int64 of the risk grows by the refit.

        Args:
            targets: positions.
            kind: 'error' for 1 - max p, 'entropy' in nats.
        """
        model = self.model
        coordinates, logits = model.coordinates(targets), model.log_proba(targets)
        outside = None
        if model.basis is not None:
            length = model.coordinates(self.items)[:, -1:].clamp(min=1e-6)
            outside = model.residual_products(self.items, targets) / length
            coordinates[:, -1] = 0
        fast = compiled(coordinates.device, "pool_risk")
        if fast is not None:
            risk: Tensor = fast.pool_risk(self.theta, coordinates, logits, outside, kind)
            return risk
        change = self.theta @ coordinates.T
        if outside is not None:
            change += self.theta[:, :, -1:] * outside.repeat_interleave(self.outcomes.shape[1], 0)
        growth = risks(logits[:, None, :] + change, kind) - risks(logits, kind)
        return growth.sum(1, dtype=torch.float64)

    def own_entropy(self) -> Tensor:
        """(m * T,) float32: entropy in nats of the refitted prediction for the item itself."""
        model = self.model
        x = model.coordinates(self.items).repeat_interleave(self.outcomes.shape[1], 0)
        z = model.log_proba(self.items).repeat_interleave(self.outcomes.shape[1], 1)
        return risks(z + (self.theta * x).sum(2), "entropy")


def risks(z: Tensor, kind: str) -> Tensor:
    """1 - max p ('error') or the entropy of softmax(z) over the first dimension."""
    z = z - z.amax(0)
    e = z.exp()
    total = e.sum(0)
    return 1 - 1 / total if kind == "error" else total.log() - (e * z).sum(0) / total


class LookAhead(Strategy):
    """Takes the candidates of the highest expected utility of their label, by short refits of the model.

    Args:
        candidates: the number of most uncertain items considered (smallest margin), or 'all'.
        outcomes: the number of most probable labels tried, or 'all'.
        C: inverse penalty of the model.
        steps: descent steps of a refit.
    """

    def __init__(self, *, candidates: int | str, outcomes: int | str, C: float, steps: int) -> None:
        self.candidates = whole_or_all(self.name, "candidates", candidates)
        self.outcomes = whole_or_all(self.name, "outcomes", outcomes)
        self.C = number(self.name, "C", C, 0, above=True)
        self.steps = whole(self.name, "steps", steps, 0)

    @abstractmethod
    def utility(self, trial: Trial, targets: Tensor) -> Tensor:
        """(m,) float32 of the trial's items; `targets` (n,) int64 from `targets`."""

    def targets(self, view: PoolView, stream: Stream) -> Tensor:
        """(tasks, items) bool: where the effect of a label is looked at; nowhere unless overridden."""
        return torch.zeros_like(view.candidates)

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`."""
        considered = self.considered(view, k, stream)
        return top_k(self.score(view, considered, stream), considered, k, stream)

    def considered(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """(tasks, items) bool: the candidates whose labels are tried."""
        return most_uncertain(self.name, view, self.candidates, k, stream)

    def score(self, view: PoolView, considered: Tensor, stream: Stream) -> Tensor:
        """(tasks, items) float32 expected utility; 0 where not considered and while one class is seen.

        Args:
            view: the campaigns.
            considered: (tasks, items) bool.
            stream: draws the items on which the effect of a label is looked at.
        """
        score = torch.zeros_like(view.top1)
        targets = self.targets(view, stream)
        for task, model in surrogates(view, self.C):
            items, where = considered[task].nonzero()[:, 0], targets[task].nonzero()[:, 0]
            tried = min(model.n_classes, self.outcomes or model.n_classes)
            size = max(1, _CHUNK // (model.n_classes * tried * max(len(where), len(model.labelled))))
            for part in items.split(size):
                score[task, part] = self.utility(Trial.run(model, part, self.outcomes, self.steps), where)
        return score


class PoolLookAhead(LookAhead):
    """Look-ahead to the risk on the unlabelled items.

    Args:
        pool: the number of random unlabelled items over which the risk is summed, or 'all'.
        candidates: see `LookAhead`. outcomes: see `LookAhead`. C: see `LookAhead`. steps: see `LookAhead`.
    """

    kind = "error"
    deterministic = False

    def __init__(self, *, candidates: int | str, pool: int | str, outcomes: int | str, C: float, steps: int) -> None:
        super().__init__(candidates=candidates, outcomes=outcomes, C=C, steps=steps)
        self.pool = whole_or_all(self.name, "pool", pool)

    def targets(self, view: PoolView, stream: Stream) -> Tensor:
        """(tasks, items) bool: the random items over which the risk is summed."""
        if self.pool is None or self.pool >= view.candidates.shape[1]:
            return view.candidates
        noise = tie_noise(stream, view.candidates.shape[1], view.rows.device, draw=1)
        drawn = noise.masked_fill(~view.candidates, -1.0).topk(self.pool, dim=1).indices
        return as_mask(drawn, view.candidates.shape[1]) & view.candidates

    def utility(self, trial: Trial, targets: Tensor) -> Tensor:
        """(m,) float32: the expected fall of the risk."""
        return -trial.expected(trial.pool_risk(targets, self.kind))


def most_uncertain(name: str, view: PoolView, number: int | None, k: Tensor, stream: Stream) -> Tensor:
    """(tasks, items) bool: the `number` candidates of the smallest margin, all if None.

    Raises:
        ParameterError: fewer than the batch.
    """
    if number is None or number >= view.candidates.shape[1]:
        return view.candidates
    if int(k.max()) > number:
        raise ParameterError(
            f"{name}: candidates={number} is fewer than the batch of {int(k.max())}; raise candidates."
        )
    share = view.candidates.sum(1).clamp(max=number)
    return as_mask(top_k(-view.margin, view.candidates, share, stream), view.candidates.shape[1])
