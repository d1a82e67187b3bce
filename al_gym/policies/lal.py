"""LAL-style: a small regressor predicts what each strategy's batch would gain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from al_gym.envs.engine import DEFAULT_STRATEGIES
from al_gym.policies.base import register_policy
from al_gym.policies.proposal_network import ProposalNetwork
from al_gym.strategies import Strategy

WEIGHTS = Path(__file__).with_name("lal_weights.safetensors")


@register_policy("lal")
class LAL(ProposalNetwork):
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
        super().__init__(strategies, Path(weights).expanduser() if weights else WEIGHTS)
