"""Simulated rounds in which every strategy's proposal is tried, and networks fitted to them: for lal and imitation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from al_gym.campaign import Campaign
from al_gym.evaluation.summary import package_versions
from al_gym.policies.mixture import propose
from al_gym.policies.network import Network
from al_gym.policies.proposal_network import describe, feature_names, scores
from al_gym.strategies import Strategy
from al_gym.tasks.distribution import TaskDistribution
from al_gym.tasks.task import make_task

BATCHES = (5, 10, 5, 2, 5, 20)  # labels a round, group of tasks by group of tasks

Ints = NDArray[np.int64]
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Samples:
    """States with every proposal: inputs (n, M, features), gain of accuracy (n, M), task (n,)."""

    inputs: Tensor
    gain: Tensor
    task: Ints

    @classmethod
    def join(cls, parts: Sequence[tuple[Tensor, Tensor, Ints]]) -> Samples:
        """From (inputs, gain, task) of some rounds."""
        inputs, gain, task = zip(*parts, strict=True)
        return cls(torch.cat(inputs), torch.cat(gain), np.concatenate(task))


@dataclass(frozen=True)
class Trial:
    """What came of trying every proposal in n campaigns.

    proposals: (n, M, width) int64. inputs: (n, M, features). gain: (n, M) float32 of accuracy.
    """

    proposals: Ints
    inputs: Tensor
    gain: Tensor


def start_campaigns(
    tasks: TaskDistribution, names: Sequence[str], *, seed: int, labels: int, pool_size: int, validation_size: int
) -> tuple[Campaign, Ints]:
    """Campaigns at their seed sets, one a name, and their slots; the holdout is a validation split."""
    campaign, slots = Campaign(len(names)), np.arange(len(names))
    made = [make_task(tasks.get(name), seed, pool_size=pool_size, validation_size=validation_size) for name in names]
    campaign.load(slots, made, [labels] * len(names))
    return campaign, slots


def try_all(campaign: Campaign, slots: Ints, strategies: Sequence[Strategy], k: Ints) -> Trial:
    """The gain of every proposal, and what describes it; nothing changes."""
    proposals = np.zeros((len(slots), len(strategies), int(k.max())), np.int64)
    inputs = torch.zeros(len(slots), len(strategies), len(feature_names()))
    for at, view in campaign.views(slots):
        proposals[at] = propose(view, strategies, k[at], proposals.shape[2])
        inputs[at] = describe(view, torch.from_numpy(proposals[at]), torch.from_numpy(k[at]))
    before = campaign.accuracy(slots)
    tried = [campaign.trial_accuracy(slots, np.ascontiguousarray(proposals[:, m])) for m in range(len(strategies))]
    return Trial(proposals, inputs, torch.from_numpy(np.stack(tried, axis=1) - before[:, None]).to(torch.float32))


def fit_network(
    inputs: Tensor, loss: Loss, *, hidden: int, epochs: int, learning_rate: float, weight_decay: float, seed: int
) -> Network:
    """One hidden layer that scores proposals.

    Args:
        inputs: (n, M, features) float32.
        loss: from the scores (b, M) of some states and their numbers (b,) to a scalar.
        hidden: units. epochs: of batches of 64 states. learning_rate, weight_decay: of AdamW. seed: of the start.
    """
    generator = torch.Generator().manual_seed(seed)
    centre, scale = inputs.flatten(0, 1).mean(dim=0), inputs.flatten(0, 1).std(dim=0)
    varied = (scale > 1e-3).to(torch.float32)  # an input that never varied must not count
    scale = torch.where(varied > 0, scale, 1.0)
    width = inputs.shape[2]
    first = varied * torch.randn(hidden, width, generator=generator) / width**0.5
    weights = [first, torch.zeros(hidden), torch.zeros(1, hidden), torch.zeros(1)]
    optimizer = torch.optim.AdamW([w.requires_grad_() for w in weights], lr=learning_rate, weight_decay=weight_decay)
    x = varied * (inputs - centre) / scale
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=generator).split(64):
            hidden_units = torch.tanh(x[batch] @ weights[0].T + weights[1])
            value = loss((hidden_units @ weights[2].T + weights[3])[..., 0], batch)
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    w0, b0, w1, b1 = (w.detach() for w in weights)
    tensors = {"mlp.0.weight": w0 / scale, "mlp.0.bias": b0 - (w0 / scale) @ centre}
    return Network(tensors | {"mlp.1.weight": w1, "mlp.1.bias": b1}, "tanh")


def relative_points(gain: Tensor) -> Tensor:
    """(n, M) points of accuracy above the mean over the proposals of a state."""
    return 100 * (gain - gain.mean(dim=1, keepdim=True))


def judge(network: Network, inputs: Tensor, target: Tensor) -> dict[str, float]:
    """Points of accuracy a round above a random choice: of the network, the best fixed strategy, and hindsight."""
    guess = scores(network, inputs)
    centred = guess - guess.mean(dim=1, keepdim=True)
    return {
        "states": float(len(target)),
        "r2": float(1 - ((target - centred) ** 2).sum() / (target**2).sum()),
        "chosen": float(target.gather(1, guess.argmax(dim=1, keepdim=True)).mean()),
        "best_fixed": float(target.mean(dim=0).max()),
        "hindsight": float(target.max(dim=1).values.mean()),
    }


def write(
    network: Network,
    out: str,
    *,
    strategies: Sequence[str],
    held_out: Mapping[str, float],
    arguments: Mapping[str, Any],
) -> None:
    """The weights at `out` and, beside them, a .json that says where they come from."""
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(network.bytes())
    card = {
        "features": feature_names(),
        "activation": network.activation,
        "strategies": list(strategies),
        "held_out": {key: round(value, 4) for key, value in held_out.items()},
        "arguments": {key: value for key, value in arguments.items() if key != "out"},
        "versions": package_versions(("numpy", "torch")),
    }
    path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
