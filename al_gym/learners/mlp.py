"""A small ensemble of one-hidden-layer networks, trained side by side for all tasks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from al_gym.errors import ParameterError
from al_gym.learners.base import Learner, register_learner
from al_gym.pool.arrays import PoolArrays, Shape, pad_power
from al_gym.streams import Stream

State = dict[str, Tensor]
Weights = tuple[Tensor, Tensor, Tensor, Tensor]
BETAS = (0.9, 0.999)
CHUNK = 1 << 14
"""Items scored at once, so that memory stays bounded on large pools."""
_NAMES = ("W1", "b1", "W2", "b2")


@register_learner("mlp")
class MLP(Learner):
    r"""Ensemble of small neural networks (one hidden layer), warm-started each round.

    Each member is $\mathrm{softmax}(W_2 \max(0, W_1 x + b_1) + b_2)$ over the classes seen; the probabilities are the
    mean over the members, which disagree where labels are missing. A round takes `steps` full-batch Adam steps on the
    mean log-loss plus `decay`/2 times the squared weights, from the weights of the round before. All tasks and
    members are trained in the same batched products. The first weights are drawn from the task's own stream (He
    initialisation), so that a task has the same networks whatever its batch mates.

    The representation that strategies see is the hidden layer of all members, `members` x `hidden` wide.

    **Source:** Lakshminarayanan, Pritzel & Blundell 2017, *Simple and scalable predictive uncertainty estimation using
    deep ensembles*; Kingma & Ba 2015, *Adam*; He, Zhang, Ren & Sun 2015 (initialisation). **Cost:** steps x labels x
    features x hidden x members a round.

    Args:
        hidden: width of the hidden layer, at least 1.
        members: networks in the ensemble, at least 1.
        steps: Adam steps a round, at least 1.
        lr: step size, above 0.
        decay: L2 weight of both layers, at least 0; intercepts are not penalised.
    """

    name = "mlp"

    def __init__(
        self, *, hidden: int = 32, members: int = 3, steps: int = 50, lr: float = 0.01, decay: float = 0.001
    ) -> None:
        for key, value in {"hidden": hidden, "members": members, "steps": steps}.items():
            if not isinstance(value, int) or value < 1:
                raise ParameterError(f"{self.name}: {key} must be an integer of at least 1, got {value!r}.")
        if not 0 < lr < float("inf"):
            raise ParameterError(f"{self.name}: lr must be above 0 and finite, got {lr}.")
        if not 0 <= decay < float("inf"):
            raise ParameterError(f"{self.name}: decay must be at least 0 and finite, got {decay}.")
        self.hidden = hidden
        self.members = members
        self.steps = steps
        self.lr = lr
        self.decay = decay

    def allocate(self, shape: Shape, rows: int, device: torch.device) -> State:
        """See `Learner.allocate`: the weights of all members, the hidden layers one after the other."""
        e, h, c = self.members, self.hidden, shape.classes
        return {
            "W1": torch.zeros(rows, e * h, shape.features, device=device),
            "b1": torch.zeros(rows, e * h, 1, device=device),
            "W2": torch.zeros(rows, e, c, h, device=device),
            "b2": torch.zeros(rows, e, c, 1, device=device),
            "started": torch.zeros(rows, dtype=torch.bool, device=device),
        }

    def start(self, state: State, arrays: PoolArrays, row: int) -> None:
        """Write the first weights of one row."""
        d, c = int(arrays.n_features[row]), int(arrays.n_classes[row])
        width, h = self.members * self.hidden, self.hidden
        stream = Stream.of(arrays.key[[row]], arrays.round[[row]].cpu().numpy(), "mlp")
        first = stream.normal(width * d, draw=0).reshape(width, d) * np.sqrt(2 / d)
        last = stream.normal(self.members * c * h, draw=1).reshape(self.members, c, h) / np.sqrt(h)
        state["W1"][row, :, :d] = torch.from_numpy(first).to(arrays.X)
        state["W2"][row, :, :c] = torch.from_numpy(last).to(arrays.X)
        state["started"][row] = True

    def fit(self, state: State, arrays: PoolArrays, rows: Tensor) -> None:
        """See `Learner.fit`; goes on from the last weights of each row."""
        for row in rows[~state["started"][rows]].tolist():
            self.start(state, arrays, row)
        for labels, part in rows_by_labels(arrays, rows):
            weights = self._train(arrays, part, _gather(state, part), min(labels, arrays.yL.shape[1]))
            for name, value in zip(_NAMES, weights, strict=True):
                state[name][part] = value

    def _train(self, arrays: PoolArrays, rows: Tensor, weights: Weights, labels: int) -> Weights:
        """The weights after `steps` Adam steps; `labels` is the padded number of labelled items."""
        X, y = arrays.XL[rows, :labels], arrays.yL[rows, :labels]
        classes = torch.arange(arrays.seen.shape[1], device=X.device)
        unseen = ~arrays.seen[rows][:, None, :, None]
        Y = (y[:, None, :] == classes[None, :, None]).to(X.dtype)[:, None]
        share = ((y >= 0) / arrays.count[rows][:, None])[:, None, None]
        values = list(weights)
        means, squares = [torch.zeros_like(v) for v in values], [torch.zeros_like(v) for v in values]
        for step in range(1, self.steps + 1):
            slopes = self._gradient(values, X, Y, unseen, share)
            rate = self.lr * (1 - BETAS[1] ** step) ** 0.5 / (1 - BETAS[0] ** step)
            for value, slope, mean, square in zip(values, slopes, means, squares, strict=True):
                mean.lerp_(slope, 1 - BETAS[0])
                square.mul_(BETAS[1]).addcmul_(slope, slope, value=1 - BETAS[1])
                value.addcdiv_(mean, square.sqrt().add_(1e-8), value=-rate)
        return values[0], values[1], values[2], values[3]

    def _gradient(self, values: list[Tensor], X: Tensor, Y: Tensor, unseen: Tensor, share: Tensor) -> Weights:
        """Slopes of the penalised mean log-loss of each member, in the order of `_NAMES`."""
        W1, b1, W2, b2 = values
        flat = torch.baddbmm(b1, W1, X.mT).relu_()
        hidden = flat.unflatten(1, (self.members, self.hidden))
        proba = (W2 @ hidden + b2).masked_fill(unseen, -torch.inf).softmax(dim=2)
        error = (proba - Y) * share
        back = (W2.mT @ error).flatten(1, 2) * (flat > 0)
        return (
            torch.baddbmm(W1, back, X, beta=self.decay),
            back.sum(dim=2, keepdim=True),
            error @ hidden.mT + self.decay * W2,
            error.sum(dim=3, keepdim=True),
        )

    def predict_proba(self, state: State, arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        """See `Learner.predict_proba`; the mean over the members."""
        weights, unseen = _gather(state, rows), ~arrays.seen[rows][:, None, :, None]
        parts = []
        for part in X.split(CHUNK, dim=1):
            hidden = _hidden(weights, part).unflatten(1, (self.members, self.hidden))
            logits = weights[2] @ hidden + weights[3]
            parts.append(logits.masked_fill_(unseen, -torch.inf).softmax(dim=2).mean(dim=1))
        return torch.cat(parts, dim=2)

    def embed(self, state: State, arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        """See `Learner.embed`: (tasks, n, members x hidden), the hidden layers."""
        return _hidden(_gather(state, rows), X).mT.contiguous()


def _gather(state: State, rows: Tensor) -> Weights:
    return state["W1"][rows], state["b1"][rows], state["W2"][rows], state["b2"][rows]


def _hidden(weights: Weights, X: Tensor) -> Tensor:
    """(tasks, members x hidden, n) float32."""
    return torch.baddbmm(weights[1], weights[0], X.mT).relu_()


def rows_by_labels(arrays: PoolArrays, rows: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Rows grouped by their own padded number of labels: a product's size never depends on batch mates."""
    padded = torch.tensor([pad_power(count) for count in arrays.count[rows].tolist()], device=rows.device)
    for labels in padded.unique().tolist():
        yield labels, rows[padded == labels]
