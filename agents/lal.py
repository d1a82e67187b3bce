"""Fit the regressor of the policy `lal`: what does a proposed batch gain?

python -m agents.lal                       # rewrites al_gym/policies/lal_weights.safetensors and .json
python -m agents.lal --tasks-drawn 1000 --out runs/lal.safetensors

Campaigns on synthetic training tasks are driven by random choices; in every round each strategy's proposal is tried,
and the gain of validation accuracy is kept. Nothing real is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from rich.console import Console

from agents.flags import parse_arguments
from agents.proposals import (
    BATCHES,
    Ints,
    Samples,
    fit_network,
    judge,
    relative_points,
    start_campaigns,
    try_all,
    write,
)
from al_gym.campaign import Campaign
from al_gym.envs.engine import DEFAULT_STRATEGIES
from al_gym.policies.lal import WEIGHTS
from al_gym.policies.network import Network
from al_gym.strategies import Strategy, make_strategy
from al_gym.tasks.load import load_tasks
from al_gym.threads import pin_threads

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


def simulate(arguments: Arguments) -> Samples:
    """Drive campaigns by random choices and try every proposal."""
    rng = np.random.default_rng(arguments.seed)
    tasks = load_tasks(arguments.tasks, "train")
    names = rng.choice(list(tasks.names), min(arguments.tasks_drawn, len(tasks)), replace=False).tolist()
    strategies = [make_strategy(spec) for spec in DEFAULT_STRATEGIES]
    parts = []
    for group, start in enumerate(range(0, len(names), arguments.at_once)):
        some = names[start : start + arguments.at_once]
        campaign, slots = start_campaigns(
            tasks,
            some,
            seed=arguments.seed,
            labels=arguments.labels,
            pool_size=arguments.pool_size,
            validation_size=arguments.validation_size,
        )
        batch = BATCHES[group % len(BATCHES)]
        parts += [(x, y, slots + start) for x, y in run(campaign, slots, strategies, batch, arguments, rng)]
        console.print(f"{start + len(some)} of {len(names)} tasks")
    return Samples.join(parts)


def run(
    campaign: Campaign,
    slots: Ints,
    strategies: Sequence[Strategy],
    batch: int,
    arguments: Arguments,
    rng: np.random.Generator,
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """One group of campaigns: (inputs, gains) of the rounds in which the proposals were tried."""
    rounds = arguments.labels // batch
    tried = set(rng.choice(rounds, min(arguments.tries, rounds), replace=False).tolist())
    found, k = [], np.full(len(slots), batch)
    for number in range(max(tried) + 1):
        if number in tried:
            trial = try_all(campaign, slots, strategies, k)
            found.append((trial.inputs, trial.gain))
        choice = rng.integers(len(strategies), size=len(slots))
        campaign.reveal(slots, campaign.select(slots, strategies, choice, k))
    return found


def fit(samples: Samples, arguments: Arguments) -> tuple[Network, dict[str, float]]:
    """A network fitted to four fifths of the tasks, and how it does on the others."""
    held_out = torch.from_numpy(samples.task % 5 == 0)
    target = relative_points(samples.gain)
    y = target[~held_out]

    def squared_error(guess: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
        return ((guess - guess.mean(dim=1, keepdim=True) - y[batch]) ** 2).mean()

    network = fit_network(
        samples.inputs[~held_out],
        squared_error,
        hidden=arguments.hidden,
        epochs=arguments.epochs,
        learning_rate=arguments.learning_rate,
        weight_decay=arguments.weight_decay,
        seed=arguments.seed,
    )
    return network, judge(network, samples.inputs[held_out], target[held_out])


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Simulate, fit, and write weights and card."""
    arguments = parse_arguments(Arguments, __doc__, argv)
    pin_threads()
    network, result = fit(simulate(arguments), arguments)
    write(network, arguments.out, strategies=DEFAULT_STRATEGIES, held_out=result, arguments=asdict(arguments))
    console.print(result)
    return result


if __name__ == "__main__":
    main()
