"""Fit the regressor of the policy `lal`: what does a proposed batch gain?

python -m agents.lal                       # rewrites al_gym/policies/lal_weights.safetensors and .json
python -m agents.lal --tasks-drawn 1000 --out runs/lal.safetensors

Campaigns on synthetic training tasks are driven by random choices; in every round each strategy's proposal is tried,
and the gain of validation accuracy is kept. Nothing real is touched.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from al_gym.campaign import Campaign
from al_gym.envs.engine import DEFAULT_STRATEGIES
from al_gym.evaluation.summary import package_versions
from al_gym.policies.lal import WEIGHTS, describe, feature_names
from al_gym.policies.mixture import propose
from al_gym.policies.network import Network
from al_gym.strategies import Strategy, make_strategy
from al_gym.tasks.load import load_tasks
from al_gym.tasks.task import make_task
from al_gym.threads import pin_threads

BATCHES = (5, 10, 5, 2, 5, 20)  # labels a round, group of tasks by group of tasks

console = Console()


@dataclass(frozen=True)
class Arguments:
    """Everything that fixes a run."""

    tasks: str = "default"
    tasks_drawn: int = 880
    at_once: int = 40
    labels: int = 100
    tries: int = 7
    pool_size: int = 300
    validation_size: int = 600
    hidden: int = 32
    epochs: int = 60
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    seed: int = 0
    out: str = str(WEIGHTS)


@dataclass(frozen=True)
class Samples:
    """States with every proposal: inputs (n, M, features), gain of accuracy (n, M), task (n,)."""

    inputs: Tensor
    gain: Tensor
    task: NDArray[np.int64]


def simulate(arguments: Arguments) -> Samples:
    """Drive campaigns by random choices and try every proposal."""
    rng = np.random.default_rng(arguments.seed)
    tasks = load_tasks(arguments.tasks, "train")
    names = rng.choice(list(tasks.names), min(arguments.tasks_drawn, len(tasks)), replace=False).tolist()
    strategies = [make_strategy(spec) for spec in DEFAULT_STRATEGIES]
    parts = []
    for group, start in enumerate(range(0, len(names), arguments.at_once)):
        some = names[start : start + arguments.at_once]
        campaign, slots = Campaign(len(some)), np.arange(len(some))
        made = [
            make_task(
                tasks.get(name),
                arguments.seed,
                pool_size=arguments.pool_size,
                validation_size=arguments.validation_size,
            )
            for name in some
        ]
        campaign.load(slots, made, [arguments.labels] * len(some))
        batch = BATCHES[group % len(BATCHES)]
        parts += [(x, y, slots + start) for x, y in run(campaign, slots, strategies, batch, arguments, rng)]
        console.print(f"{start + len(some)} of {len(names)} tasks")
    inputs, gain, task = zip(*parts, strict=True)
    return Samples(torch.cat(inputs), torch.cat(gain), np.concatenate(task))


def run(
    campaign: Campaign,
    slots: NDArray[np.int64],
    strategies: Sequence[Strategy],
    batch: int,
    arguments: Arguments,
    rng: np.random.Generator,
) -> list[tuple[Tensor, Tensor]]:
    """One group of campaigns: (inputs, gains) of the rounds in which the proposals were tried."""
    rounds = arguments.labels // batch
    tried = set(rng.choice(rounds, min(arguments.tries, rounds), replace=False).tolist())
    found, k = [], np.full(len(slots), batch)
    for number in range(max(tried) + 1):
        if number in tried:
            found.append(try_all(campaign, slots, strategies, k))
        choice = rng.integers(len(strategies), size=len(slots))
        campaign.reveal(slots, campaign.select(slots, strategies, choice, k))
    return found


def try_all(
    campaign: Campaign, slots: NDArray[np.int64], strategies: Sequence[Strategy], k: NDArray[np.int64]
) -> tuple[Tensor, Tensor]:
    """(n, M, features) inputs and (n, M) gains of accuracy of every proposal; nothing changes."""
    proposals = np.zeros((len(slots), len(strategies), int(k.max())), np.int64)
    inputs = torch.zeros(len(slots), len(strategies), len(feature_names()))
    for at, view in campaign.views(slots):
        proposals[at] = propose(view, strategies, k[at], proposals.shape[2])
        inputs[at] = describe(view, torch.from_numpy(proposals[at]), torch.from_numpy(k[at]))
    before = campaign.accuracy(slots)
    tried = [campaign.trial_accuracy(slots, np.ascontiguousarray(proposals[:, m])) for m in range(len(strategies))]
    return inputs, torch.from_numpy(np.stack(tried, axis=1) - before[:, None]).to(torch.float32)


def fit(samples: Samples, arguments: Arguments) -> tuple[Network, dict[str, float]]:
    """A network fitted to four fifths of the tasks, and how it does on the others."""
    generator = torch.Generator().manual_seed(arguments.seed)
    held_out = torch.from_numpy(samples.task % 5 == 0)
    target = 100 * (samples.gain - samples.gain.mean(dim=1, keepdim=True))
    train = samples.inputs[~held_out]
    centre, scale = train.flatten(0, 1).mean(dim=0), train.flatten(0, 1).std(dim=0)
    varied = (scale > 1e-3).to(torch.float32)  # an input that never varied must not count
    scale = torch.where(varied > 0, scale, 1.0)
    width = samples.inputs.shape[2]
    first = varied * torch.randn(arguments.hidden, width, generator=generator) / width**0.5
    weights = [first, torch.zeros(arguments.hidden), torch.zeros(1, arguments.hidden), torch.zeros(1)]
    optimizer = torch.optim.AdamW(
        [w.requires_grad_() for w in weights], lr=arguments.learning_rate, weight_decay=arguments.weight_decay
    )
    x, y = varied * (train - centre) / scale, target[~held_out]
    for _ in range(arguments.epochs):
        for batch in torch.randperm(len(x), generator=generator).split(64):
            hidden = torch.tanh(x[batch] @ weights[0].T + weights[1])
            guess = (hidden @ weights[2].T + weights[3])[..., 0]
            loss = ((guess - guess.mean(dim=1, keepdim=True) - y[batch]) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    w0, b0, w1, b1 = (w.detach() for w in weights)
    tensors = {"mlp.0.weight": w0 / scale, "mlp.0.bias": b0 - (w0 / scale) @ centre}
    network = Network(tensors | {"mlp.1.weight": w1, "mlp.1.bias": b1}, "tanh")
    return network, judge(network, samples.inputs[held_out], target[held_out])


def judge(network: Network, inputs: Tensor, target: Tensor) -> dict[str, float]:
    """Points of accuracy a round above a random choice: of the network, the best fixed strategy, and hindsight."""
    flat = inputs.flatten(0, 1)
    guess = network(flat, network.start(len(flat)))[0].reshape(target.shape)
    centred = guess - guess.mean(dim=1, keepdim=True)
    return {
        "states": float(len(target)),
        "r2": float(1 - ((target - centred) ** 2).sum() / (target**2).sum()),
        "chosen": float(target.gather(1, guess.argmax(dim=1, keepdim=True)).mean()),
        "best_fixed": float(target.mean(dim=0).max()),
        "hindsight": float(target.max(dim=1).values.mean()),
    }


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Simulate, fit, and write weights and card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for f in fields(Arguments):
        parser.add_argument(f"--{f.name.replace('_', '-')}", type=type(f.default), default=f.default)
    arguments = Arguments(**vars(parser.parse_args(argv)))
    pin_threads()
    network, result = fit(simulate(arguments), arguments)
    path = Path(arguments.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(network.bytes())
    card = {
        "features": feature_names(),
        "activation": network.activation,
        "strategies": list(DEFAULT_STRATEGIES),
        "held_out": {key: round(value, 4) for key, value in result.items()},
        "arguments": {key: value for key, value in asdict(arguments).items() if key != "out"},
        "versions": package_versions(("numpy", "torch")),
    }
    path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    console.print(result)
    return result


if __name__ == "__main__":
    main()
