"""Policies that score each strategy's proposed batch by a small network: what `lal` and `imitation` share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from al_gym.envs.observations.batches import BATCH_FEATURES, describe_batches
from al_gym.errors import PolicyError
from al_gym.policies.base import Choice, Context, Policy
from al_gym.policies.mixture import propose
from al_gym.policies.network import Network
from al_gym.policies.strategy_lists import parse_strategies
from al_gym.pool import PoolView
from al_gym.strategies import Strategy

STATE_FEATURES = {
    "labels": "log of the labels over 10 times the number of classes",
    "batch": "log of the batch size over 5",
    "classes": "log of the number of classes",
    "unseen": "share of the classes without a label",
    "margin": "mean margin over the candidates",
    "entropy": "mean entropy over the candidates, over the log of the number of classes",
    "foreseen": "running mean of the accuracy on labels before they came",
}


def feature_names() -> list[str]:
    """Names of the network's inputs, in order."""
    batch = [f"batch/{name}" for name in BATCH_FEATURES]
    relative = [f"relative/{name}" for name in BATCH_FEATURES]
    return batch + relative + [f"state/{name}" for name in STATE_FEATURES]


def describe_state(view: PoolView, k: Tensor) -> Tensor:
    """(tasks, features) float32 in the order of `STATE_FEATURES`, for batches of `k` (tasks,) labels."""
    candidates = view.candidates.to(torch.float32)
    number = candidates.sum(dim=1).clamp(min=1)
    classes = view.n_classes.clamp(min=2).to(torch.float32)
    columns = [
        (view.n_labelled / (10 * classes)).log(),
        (k / 5).log(),
        classes.log(),
        1 - view.seen.sum(dim=1) / classes,
        (view.margin * candidates).sum(dim=1) / number,
        (view.entropy * candidates).sum(dim=1) / number / classes.log(),
        view.prequential[:, 2],
    ]
    return torch.stack([column.to(torch.float32) for column in columns], dim=1)


def describe(view: PoolView, proposals: Tensor, k: Tensor) -> Tensor:
    """(tasks, M, inputs) float32: each proposal, its difference from their mean, and the state.

    Args:
        view: the campaigns. proposals: (tasks, M, width) int64, -1 for none. k: (tasks,) int64 batch sizes.
    """
    batch = describe_batches(view, proposals).clamp(-1, 1)
    state = describe_state(view, k)[:, None, :].expand(-1, batch.shape[1], -1)
    return torch.cat([batch, batch - batch.mean(dim=1, keepdim=True), state], dim=2)


def read_weights(path: Path, who: str) -> Network:
    """The network at `path`, with its .json beside it, for the policy `who`.

    Raises:
        PolicyError: a file is missing or broken, or was made for other features.
    """
    card_path, script = path.with_suffix(".json"), f"agents/{who}.py"
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        features, activation = card["features"], card["activation"]
    except (OSError, ValueError, KeyError) as error:
        raise PolicyError(f"{who}: cannot read {card_path}: {error}. Write both files with {script}.") from error
    if features != feature_names():
        raise PolicyError(f"{who}: {path} was trained on other features; train it again with {script}.")
    network = Network.read(path, activation)
    if network.inputs != len(features) or network.outputs != 1:
        raise PolicyError(f"{who}: {path} maps {network.inputs} inputs to {network.outputs} outputs, not to one.")
    return network


def scores(network: Network, inputs: Tensor) -> Tensor:
    """(n, M) float32: what the network says of each proposal, from `inputs` (n, M, features)."""
    flat = inputs.flatten(0, 1)
    return network(flat, network.start(len(flat)))[0].reshape(inputs.shape[:2])


class ProposalNetwork(Policy):
    """Takes the strategy whose proposed batch a small network scores highest, the one named first among equals.

    The inputs describe the batch, its difference from the other proposals, and the state of the campaign; they do not
    name the strategy, so others than those of the training can be offered.

    Args:
        strategies: those to choose from.
        weights: a .safetensors file with its .json beside it.
    """

    def __init__(self, strategies: str | Sequence[str | Strategy], weights: Path) -> None:
        self.strategies = parse_strategies(strategies)
        self.network = read_weights(weights, self.name)

    def fingerprint(self) -> str:
        """The text it was made from and the digest of its weights."""
        digest = hashlib.sha256(self.network.digest().encode()).hexdigest()[:16]
        return f"{self.spec or self.name} {'+'.join(self.labels)} {digest}"

    def act(self, context: Context) -> Choice:
        """See `Policy.act`."""
        strategy = np.zeros(len(context), np.int64)
        k = np.minimum(context.batch_size, context.remaining)
        for at, view in context.views:
            device = view.rows.device
            proposals = propose(view, self.strategies, k[at], int(k[at].max()))
            inputs = describe(view, torch.from_numpy(proposals).to(device), torch.from_numpy(k[at]).to(device))
            strategy[at] = scores(self.network, inputs.cpu()).argmax(dim=1).numpy()
        return context.choice(strategy)
