"""Imitation of an expert that looks one round ahead, learned on synthetic tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from al_gym.envs.engine import DEFAULT_STRATEGIES
from al_gym.policies.base import register_policy
from al_gym.policies.proposal_network import ProposalNetwork
from al_gym.strategies import Strategy

WEIGHTS = Path(__file__).with_name("imitation_weights.safetensors")


@register_policy("imitation")
class Imitation(ProposalNetwork):
    r"""ALIL/ImitAL-like: the strategy that an expert which tries every batch would take, guessed from the batches.

    On simulated tasks the expert labels each strategy's proposed batch, refits, and sees the holdout accuracy $a_k$. A
    small network $g$ was fitted to its preferences over the proposals of a state,

    $$\min_g\; -\sum_k \pi_k \log \frac{e^{g_k}}{\sum_j e^{g_j}},
    \qquad g_k = g(\text{batch}_k, \text{state}), \quad \pi_k \propto e^{a_k / \tau},$$

    with $\tau$ of five points of accuracy: with less, the expert's choice is mostly the luck of one refit, and the
    network learns to prefer proposals of a large variance to those of a large mean. The states come from DAgger: the
    first campaigns follow the expert, the later ones a mixture of it and of what was learned so far, so that the
    network has seen the states that its own choices lead to. It acts by the largest $g$.

    **Source:** Liu, Buntine & Haffari 2018, *Learning how to actively learn: a deep imitation learning approach* (ALIL:
    DAgger with an algorithmic expert), Gonsior, Thiele & Lehner 2021, *ImitAL: learning active learning
    strategies from synthetic data* (ranking of proposed batches, trained on synthetic data alone). Ours: proposals of
    strategies instead of sampled items, soft preferences. **Assumes** as `lal` that preferences on the synthetic
    prior carry over and that one round ahead is far enough. **Differs** from `lal` in the loss, which asks for the
    order and not for the gain, and in the states. **Cost:** the selection of every strategy and a description of each
    batch, each round. The weights come from `python -m agents.imitation`.

    Args:
        strategies: those to choose from, as a list or as text such as 'margin+badge'.
        weights: a .safetensors file with its .json beside it; those of the package if empty.

    Raises:
        PolicyError: the weights cannot be read.
    """

    name = "imitation"

    def __init__(self, *, strategies: str | Sequence[str | Strategy] = DEFAULT_STRATEGIES, weights: str = "") -> None:
        super().__init__(strategies, Path(weights).expanduser() if weights else WEIGHTS)
