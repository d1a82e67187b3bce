"""LAL-style: a small regressor predicts what each strategy's batch would gain."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from al_gym.envs.engine import DEFAULT_STRATEGIES
from al_gym.envs.observations.batches import BATCH_FEATURES, describe_batches
from al_gym.errors import PolicyError
from al_gym.policies.base import Choice, Context, Policy, parse_strategies, register_policy
from al_gym.policies.mixture import propose
from al_gym.policies.network import Network
from al_gym.pool import PoolView
from al_gym.strategies import Strategy

WEIGHTS = Path(__file__).with_name("lal_weights.safetensors")

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
    """Names of the regressor's inputs, in order."""
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


def read_weights(path: Path) -> Network:
    """The regressor at `path`, with its .json beside it.

    Raises:
        PolicyError: a file is missing or broken, or was made for other features.
    """
    card_path = path.with_suffix(".json")
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        features, activation = card["features"], card["activation"]
    except (OSError, ValueError, KeyError) as error:
        raise PolicyError(f"lal: cannot read {card_path}: {error}. Write both files with agents/lal.py.") from error
    if features != feature_names():
        raise PolicyError(f"lal: {path} was trained on other features; train it again with agents/lal.py.")
    network = Network.read(path, activation)
    if network.inputs != len(features) or network.outputs != 1:
        raise PolicyError(f"lal: {path} maps {network.inputs} inputs to {network.outputs} outputs, not to one.")
    return network


@register_policy("lal")
class LAL(Policy):
    r"""LAL-style: the strategy whose proposed batch has the largest predicted gain of accuracy.

    A small network $g$ was fitted to simulated rounds on synthetic tasks: the inputs describe a proposed batch (its
    uncertainty, typicality, novelty, spread, coverage), how it differs from the other proposals, and the state of the
    campaign; the target is the gain of holdout accuracy that its labels bought, relative to the mean over the
    proposals of that state, which does not change the choice. It acts by

    $$k_t = \arg\max_k\; g(\text{batch}_k, \text{state}),$$

    the strategy named first among equals.

    **Source:** Konyushkova, Sznitman & Fua 2017, *Learning active learning from data* (section 4.2, algorithm 1:
    LALindependent regresses the error reduction of single items by a random forest). Ours: proposals of strategies
    instead of items, a network instead of a forest. **Assumes** that gains on the synthetic prior carry over, and that
    one round ahead is far enough: it is greedy. The inputs do not name the strategy, so others than the eight it was
    fitted with can be offered. **Cost:** the selection of every strategy and a description of each batch, each round.
    The weights come from `python -m agents.lal`.

    Args:
        strategies: those to choose from, as a list or as text such as 'margin+badge'.
        weights: a .safetensors file with its .json beside it; those of the package if empty.

    Raises:
        PolicyError: the weights cannot be read.
    """

    name = "lal"

    def __init__(self, *, strategies: str | Sequence[str | Strategy] = DEFAULT_STRATEGIES, weights: str = "") -> None:
        self.strategies = parse_strategies(strategies)
        self.network = read_weights(Path(weights).expanduser() if weights else WEIGHTS)

    def fingerprint(self) -> str:
        """The text it was made from and the digest of its weights."""
        digest = hashlib.sha256(self.network.digest().encode()).hexdigest()[:16]
        return f"{super().fingerprint()} {'+'.join(self.labels)} {digest}"

    def act(self, context: Context) -> Choice:
        """See `Policy.act`."""
        strategy = np.zeros(len(context), np.int64)
        k = np.minimum(context.batch_size, context.remaining)
        for at, view in context.views:
            device = view.rows.device
            proposals = propose(view, self.strategies, k[at], int(k[at].max()))
            inputs = describe(view, torch.from_numpy(proposals).to(device), torch.from_numpy(k[at]).to(device)).cpu()
            flat = inputs.flatten(0, 1)
            gain, _ = self.network(flat, self.network.start(len(flat)))
            strategy[at] = gain.reshape(inputs.shape[:2]).argmax(dim=1).numpy()
        return context.choice(strategy)
