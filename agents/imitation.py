"""Teach the policy `imitation` by an expert that looks one round ahead: DAgger on synthetic tasks.

python -m agents.imitation                 # rewrites al_gym/policies/imitation_weights.safetensors and .json
python -m agents.imitation --tasks-a-pass 80 --out runs/imitation.safetensors

In every round the expert labels each strategy's proposal, refits, and reads the validation accuracy of a synthetic
training task. In pass i a campaign follows the expert with probability 2^-i and else the network of the passes before,
so that the states are more and more those of the learner (Ross, Gordon & Bagnell 2011). Nothing real is touched.
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
    Trial,
    fit_network,
    judge,
    relative_points,
    start_campaigns,
    try_all,
    write,
)
from al_gym.campaign import Campaign
from al_gym.envs.engine import DEFAULT_STRATEGIES
from al_gym.policies.imitation import WEIGHTS
from al_gym.policies.network import Network
from al_gym.policies.proposal_network import scores
from al_gym.policies.strategy_lists import parse_strategies
from al_gym.strategies import Strategy
from al_gym.tasks.load import load_tasks
from al_gym.threads import pin_threads

HERDERS = ("uherding", "uherding:power=2,width=0.5", "uherding:power=0.5", "uherding:radius=adaptive")

console = Console()


@dataclass(frozen=True)
class Arguments:
    """Everything that fixes a run; `temperature` is the tau of the policy's page, in accuracy."""

    tasks: str = "default"
    passes: int = 4
    tasks_a_pass: int = 220
    at_once: int = 40
    labels: int = 100
    tries: int = 12
    pool_size: int = 300
    validation_size: int = 600
    temperature: float = 0.05
    hidden: int = 32
    epochs: int = 10
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    seed: int = 0
    out: str = str(WEIGHTS)


def dagger(arguments: Arguments) -> Samples:
    """The states of all passes, with every proposal's gain."""
    rng = np.random.default_rng(arguments.seed)
    tasks = load_tasks(arguments.tasks, "train")
    order = rng.permutation(list(tasks.names)).tolist()
    strategies = parse_strategies([*DEFAULT_STRATEGIES, *HERDERS])
    parts: list[tuple[torch.Tensor, torch.Tensor, Ints]] = []
    network: Network | None = None
    for number in range(arguments.passes):
        first = number * arguments.tasks_a_pass
        names = [order[i % len(order)] for i in range(first, first + arguments.tasks_a_pass)]
        for group, start in enumerate(range(0, len(names), arguments.at_once)):
            some = names[start : start + arguments.at_once]
            campaign, slots = start_campaigns(
                tasks,
                some,
                seed=arguments.seed + number,
                labels=arguments.labels,
                pool_size=arguments.pool_size,
                validation_size=arguments.validation_size,
            )
            batch = BATCHES[group % len(BATCHES)]
            follow = Roll(strategies, batch, 0.5**number, network, arguments)
            parts += [(x, y, slots + start + first) for x, y in follow(campaign, slots, rng)]
            console.print(f"pass {number + 1} of {arguments.passes}: {start + len(some)} of {len(names)} tasks")
        if number + 1 < arguments.passes:
            network = fit(Samples.join(parts), arguments)[0]
    return Samples.join(parts)


@dataclass(frozen=True)
class Roll:
    """Campaigns that follow the expert with probability `share`, else `network`."""

    strategies: Sequence[Strategy]
    batch: int
    share: float
    network: Network | None
    arguments: Arguments

    def __call__(
        self, campaign: Campaign, slots: Ints, rng: np.random.Generator
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """(inputs, gains) of the rounds that are tried; the first round always is, the rest at even distances."""
        rounds = self.arguments.labels // self.batch
        tried = set(np.linspace(0, rounds - 1, min(self.arguments.tries, rounds)).round().astype(int).tolist())
        found, k = [], np.full(len(slots), self.batch)
        for number in range(max(tried) + 1):
            trial = try_all(campaign, slots, self.strategies, k)
            if number in tried:
                found.append((trial.inputs, trial.gain))
            choice = self._choose(trial, rng)
            campaign.reveal(slots, np.ascontiguousarray(trial.proposals[np.arange(len(slots)), choice]))
        return found

    def _choose(self, trial: Trial, rng: np.random.Generator) -> Ints:
        expert = trial.gain.argmax(dim=1).numpy()
        if self.network is None:
            return expert
        learned = scores(self.network, trial.inputs).argmax(dim=1).numpy()
        return np.where(rng.random(len(expert)) < self.share, expert, learned)


def fit(samples: Samples, arguments: Arguments) -> tuple[Network, dict[str, float]]:
    """A network fitted to the preferences on four fifths of the tasks, and how it does on the others."""
    held_out = torch.from_numpy(samples.task % 5 == 0)
    preference = torch.softmax(samples.gain / arguments.temperature, dim=1)[~held_out]

    def cross_entropy(guess: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
        return -(preference[batch] * torch.log_softmax(guess, dim=1)).sum(dim=1).mean()

    network = fit_network(
        samples.inputs[~held_out],
        cross_entropy,
        hidden=arguments.hidden,
        epochs=arguments.epochs,
        learning_rate=arguments.learning_rate,
        weight_decay=arguments.weight_decay,
        seed=arguments.seed,
    )
    result = judge(network, samples.inputs[held_out], relative_points(samples.gain[held_out]))
    return network, {key: value for key, value in result.items() if key != "r2"}  # the scores are no points


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Imitate, and write weights and card."""
    arguments = parse_arguments(Arguments, __doc__, argv)
    pin_threads()
    network, result = fit(dagger(arguments), arguments)
    strategies = (*DEFAULT_STRATEGIES, *HERDERS)
    write(network, arguments.out, strategies=strategies, held_out=result, arguments=asdict(arguments))
    console.print(result)
    return result


if __name__ == "__main__":
    main()
