"""Power margin: margin sampling with noise that spreads a batch."""

import torch
from torch import Tensor

from al_gym.pool.view import PoolView
from al_gym.strategies.base import Strategy, register_strategy, top_k
from al_gym.strategies.checks import number
from al_gym.streams import Stream


@register_strategy("power-margin")
class PowerMargin(Strategy):
    r"""Items drawn without replacement, with probability proportional to a power of 1 - margin.

    $$S = \text{top-}b\; \left(\beta \log s(x) + g_x\right), \qquad s = 1 - (p_{(1)} - p_{(2)}),\quad
    g_x \sim \text{Gumbel}(0, 1)$$

    which is sampling without replacement from $p(x) \propto s(x)^\beta$.

    **Source:** Kirsch, Farquhar, Atighehchian, Jesson, Branchaud-Charron & Gal 2022, *Stochastic batch acquisition: a
    simple baseline for deep active learning* (there for BALD, entropy and variation ratios). **Cost:** one pass over
    the pool. **Wins** over margin in large batches and under label noise; **loses** to it in small batches.

    Args:
        beta: the power, at least 0: 0 is random, a large one is close to margin.

    Raises:
        ParameterError: a negative or infinite power.
    """

    name = "power-margin"
    deterministic = False

    def __init__(self, *, beta: float = 1.0) -> None:
        self.beta = number(self.name, "beta", beta, 0)

    def select(self, view: PoolView, k: Tensor, stream: Stream) -> Tensor:
        """See `Strategy.select`."""
        return power_top_k(1 - view.margin, view.candidates, k, self.beta, stream)


def power_top_k(score: Tensor, candidates: Tensor, k: Tensor, beta: float, stream: Stream) -> Tensor:
    """Gumbel top-k on `beta` times the logarithm of a non-negative score; the other arguments are those of `top_k`."""
    noise = torch.from_numpy(stream.child("gumbel").gumbel(score.shape[1])).to(score.device)
    tiny = torch.finfo(torch.float32).tiny
    return top_k((beta * score.clamp(min=tiny).double().log() + noise).float(), candidates, k, stream)
