"""Any strategy, with random items now and then."""

from __future__ import annotations

import torch
from torch import Tensor

from al_gym.errors import ParameterError
from al_gym.pool.view import PoolView
from al_gym.strategies.base import Strategy, as_mask, mask_after, register_strategy
from al_gym.strategies.checks import number
from al_gym.strategies.nested import inner_strategy
from al_gym.streams import Stream


@register_strategy("epsilon-greedy")
class EpsilonGreedy(Strategy):
    r"""Another strategy, with a random item in each place of the batch with probability epsilon.

    Each of the b places is random with probability $\varepsilon$, independently. The strategy fills the others as a
    batch of that size; the random items are drawn from what is left. `epsilon-greedy:strategy=margin,epsilon=0.1`;
    parameters of the strategy inside are separated by ';'.

    **Source:** Sutton & Barto 2018, *Reinforcement learning*, section 2.2. **Cost:** that of the strategy. **Wins**
    over a strategy that is misled by its own model (outliers, label noise, a class that it never sees); **loses**
    about $\varepsilon$ times that strategy's lead over random.

    Args:
        strategy: name or object of the strategy inside.
        epsilon: in [0, 1].

    Raises:
        ParameterError: an impossible value.
    """

    name = "epsilon-greedy"
    deterministic = False

    def __init__(self, *, strategy: str | Strategy = "margin", epsilon: float = 0.1) -> None:
        self.strategy = inner_strategy(self.name, strategy)
        self.epsilon = number(self.name, "epsilon", epsilon, 0)
        if self.epsilon > 1:
            raise ParameterError(f"epsilon-greedy: epsilon must be at most 1, got {epsilon!r}.")

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`."""
        width, items = int(k.max()), view.candidates.shape[1]
        place = torch.arange(width, device=k.device)[None, :] < k[:, None]
        coin = torch.from_numpy(stream.child("coin").uniform(width)).to(k.device)
        explore = place & (coin < self.epsilon)
        count = k - explore.sum(1)
        chosen = self.strategy.select(view, count.clamp(min=1), stream.child(self.strategy.name))
        chosen = mask_after(chosen, count)
        noise = torch.from_numpy(stream.child("items").uniform(items)).to(k.device)
        left = view.candidates & ~as_mask(chosen, items)
        drawn = noise.masked_fill(~left, -1.0).topk(width, dim=1).indices
        return mask_after(torch.where(explore, in_turn(drawn, explore), in_turn(chosen, ~explore)), k)


def in_turn(values: Tensor, where: Tensor) -> Tensor:
    """(tasks, places) int64: `values` (tasks, n) one after the other where `where`; arbitrary elsewhere."""
    return values.gather(1, (where.cumsum(1) - 1).clamp(min=0, max=values.shape[1] - 1))
