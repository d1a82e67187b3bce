"""COMB: an Exp4 bandit over strategies, rewarded by the entropy of the predicted classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from al_gym.envs.engine import DEFAULT_STRATEGIES
from al_gym.errors import ParameterError
from al_gym.policies.base import Choice, Context, Floats, Ints, register_policy
from al_gym.policies.exp4p import horizon
from al_gym.policies.mixture import ExpertMixture
from al_gym.pool import PoolView
from al_gym.strategies import Strategy
from al_gym.strategies.checks import number


def classification_entropy(view: PoolView) -> Floats:
    """(tasks,) in [0, 1]: entropy of the share of candidates predicted as each class, to the base of the classes."""
    candidates = view.candidates.to(torch.float64)
    counts = candidates.new_zeros(len(view), view.seen.shape[1]).scatter_add_(1, view.predicted, candidates)
    share = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)
    entropy = torch.special.entr(share).sum(dim=1) / view.n_classes.clamp(min=2).to(torch.float64).log()
    return entropy.clamp(0, 1).cpu().numpy()


@register_policy("comb")
class Comb(ExpertMixture):
    r"""COMB: an Exp4 bandit over the strategies, rewarded when the predictions of the unlabelled items get balanced.

    The classification entropy maximisation (CEM) criterion needs no label: $H_t$ is the entropy of the shares of the
    classes predicted on the unlabelled items (two classes: in bits; C classes: to the base C). The reward of a batch

    $$r_t = \frac{e^{H_t} - e^{H_{t-1}} - (1 - e)}{2e - 2} \in [0, 1]$$

    moves the weights by $w_k \leftarrow w_k \exp(\gamma \hat y_k / N)$, and a strategy is drawn as in `ExpertMixture`
    with $p_{min} = \gamma / N$ and $\gamma = \min(1, \sqrt{N \ln N / ((e - 1) T)})$ for N strategies and T rounds.

    **Source:** Baram, El-Yaniv & Luz 2004, *Online choice of active learning algorithms* (COMB and
    CEM); Exp4 and gamma are those of Auer et al. 2002, with the gain bounded by T. Ours: more
    than two classes, batches, all candidates instead of cluster representatives, and a known T instead of restarts
    that double a guessed gain. **Assumes** that the classes are about balanced: for imbalanced ones CEM is misleading.
    **Cost:** the selection of every strategy each round.

    Args:
        strategies: those to choose from, as a list or as text such as 'margin+badge'.
        gamma: share of uniform exploration in (0, 1]; the formula above if None.

    Raises:
        ParameterError: a value outside these ranges.
    """

    name = "comb"

    def __init__(
        self, *, strategies: str | Sequence[str | Strategy] = DEFAULT_STRATEGIES, gamma: float | None = None
    ) -> None:
        super().__init__(strategies)
        self.gamma = None if gamma is None else number(self.name, "gamma", gamma, 0, above=True)
        if self.gamma is not None and self.gamma > 1:
            raise ParameterError(f"comb: gamma must lie in (0, 1], got {gamma!r}.")

    def begin(self, n_campaigns: int, batch_size: int) -> None:
        """See `Policy.begin`."""
        super().begin(n_campaigns, batch_size)
        self._entropy = np.zeros(n_campaigns)

    def _exploration(self, context: Context) -> Floats:
        n = len(self.strategies)
        if self.gamma is not None:
            return np.full(len(context), self.gamma)
        return np.minimum(np.sqrt(max(n * np.log(n), 1e-12) / ((np.e - 1) * horizon(context))), 1.0)

    def floor(self, context: Context) -> Floats:
        """See `ExpertMixture.floor`."""
        return self._exploration(context) / len(self.strategies)

    def act(self, context: Context) -> Choice:
        """See `Policy.act`."""
        self._entropy[context.slots] = self._entropies(context)
        return super().act(context)

    def _entropies(self, context: Context) -> Floats:
        out = np.zeros(len(context))
        for at, view in context.views:
            out[at] = classification_entropy(view)
        return out

    def reward(self, context: Context, queries: Ints, chance: Floats) -> Floats:
        """The change of the classification entropy; see `ExpertMixture.reward`."""
        change = np.exp(self._entropies(context)) - np.exp(self._entropy[context.slots])
        return (change - (1 - np.e)) / (2 * np.e - 2)

    def log_update(self, context: Context, estimate: Floats, probability: Floats) -> Floats:
        """See `ExpertMixture.log_update`."""
        return self._exploration(context)[:, None] * estimate / len(self.strategies)
