"""al_gym/Blend-v0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from al_gym.envs.actions import Actions, Bools, Decision, Floats, Ints, Views, mask_stop
from al_gym.envs.single import CampaignEnv
from al_gym.envs.vector import CampaignVectorEnv
from al_gym.errors import ActionError, ParameterError
from al_gym.strategies import Strategy
from al_gym.strategies.blend import PARAMETERS, SIGNALS, Blend

_STOP = 0.5


def parameters_of(actions: NDArray[np.floating[Any]]) -> Floats:
    """(n, 12) float64 parameters of `blend`, in the order of `PARAMETERS`, from numbers (n, 12) in [-1, 1]."""
    a = np.asarray(actions, np.float64)
    out = (a + 1) / 2  # the weights and `diversity`
    column = {name: i for i, name in enumerate(PARAMETERS)}
    out[:, column["power"]] = (a[:, column["power"]] + 1) ** 2
    for name in ("width", "temperature"):
        out[:, column[name]] = 4.0 ** a[:, column[name]]
    out[:, column["ratio"]] = 0.1 + 0.9 * out[:, column["ratio"]]
    return out


class BlendActions(Actions):
    """How the signals are blended; arguments as of `Actions`."""

    continuous = True

    def __init__(
        self,
        strategies: Sequence[Strategy],
        batch_size: int,
        batch_choices: tuple[int, ...],
        allow_stop: bool,
        draws: int = 1,
    ) -> None:
        super().__init__(strategies, batch_size, batch_choices, allow_stop, draws)
        if len(self.strategies) != 1 or not isinstance(self.strategies[0], Blend):
            names = [strategy.name for strategy in self.strategies]
            raise ParameterError(f"Blend-v0 blends signals, not strategies, got strategies={names}; leave them out.")
        self.blend = self.strategies[0]

    @property
    def sizes(self) -> tuple[int, ...]:
        """One component of as many numbers."""
        return (len(PARAMETERS) + int(self.allow_stop),)

    @property
    def names(self) -> list[str]:
        """See `Actions.names`."""
        return [f"weight_{name}" for name in SIGNALS] + [*PARAMETERS[len(SIGNALS) :], *["stop"] * self.allow_stop]

    def space(self) -> spaces.Space[Any]:
        """`Box`."""
        return spaces.Box(-1.0, 1.0, self.sizes, np.float32)

    def masks(self, slots: Ints, rounds: Ints) -> list[Bools]:
        """(n, numbers) bool: which of them have an effect; all but `stop` before the first round."""
        return mask_stop(super().masks(slots, rounds), rounds, self.allow_stop)

    def meaning(self, components: Ints) -> tuple[Ints, Ints, Bools]:
        """The only strategy, the default batch, and no stop."""
        n = len(components)
        return np.zeros(n, np.int64), np.full(n, self.batch_size), np.zeros(n, np.bool_)

    def best(self, scores: Floats, masks: Sequence[Bools]) -> NDArray[Any]:
        """The mean action (n, numbers) float32, cut to the space."""
        return scores.clip(-1.0, 1.0).astype(np.float32)

    def decode(self, actions: Any, slots: Ints, rounds: Ints) -> Decision:
        """Read actions (n, numbers); `stop` is not heard before the first round."""
        raw = np.asarray(actions)
        expected = (len(rounds), *self.sizes)
        if raw.shape != expected or raw.dtype.kind not in "fiu":
            raise ActionError(f"actions must be numbers of shape {expected}, got {raw.dtype} of shape {raw.shape}.")
        outside = ~((raw >= -1) & (raw <= 1))
        if outside.any():
            row, column = np.argwhere(outside)[0]
            raise ActionError(
                f"{self.names[column]} of campaign {row} is {raw[row, column]}, outside [-1, 1]; clip the action."
            )
        strategy, batch, stop = self.meaning(raw)
        if self.allow_stop:
            stop = (raw[:, -1] > _STOP) & (rounds > 0)
        invalid = np.zeros(len(rounds), np.bool_)
        return Decision(strategy, batch, stop, invalid, parameters_of(raw[:, : len(PARAMETERS)]))

    def pick(self, slots: Ints, views: Views, decision: Decision, k: Ints) -> Ints | None:
        """See `Actions.pick`."""
        assert decision.parameters is not None  # for the type checker
        out = np.full((len(k), int(k.max())), -1, np.int64)
        for at, view in views:
            device = view.rows.device
            parameters = torch.from_numpy(decision.parameters[at]).to(device)
            size = torch.from_numpy(k[at]).to(device)
            picked = self.blend.select_with(view, size, view.stream(self.blend.name), parameters).cpu().numpy()
            out[at, : picked.shape[1]] = picked
        return out


class BlendEnv(CampaignEnv):
    """How per-item signals are blended into the score that takes the next batch.

    ## Description
    One episode is one labelling campaign, as in `al_gym/Strategy-v0`. Each round the agent weighs seven signals of the
    unlabelled items (three uncertainties, typicality, novelty, chance and kernel coverage), sets the parameters of the
    uncertainty and of the kernel, how much the batch is kept apart, and the share of the pool that is considered at
    all. The batch of `batch_size` items is picked greedily by the weighted sum: the strategy `blend`, whose page has
    the formula. A fixed setting is the strategy `blend:margin=1,coverage=2,...`.

    ## Action space
    `Box(-1, 1, (12,), float32)`; `env.unwrapped.action_names` has the names. With a a number of the action:

    | number | means | range |
    | --- | --- | --- |
    | `weight_margin` | weight of one minus the margin, (a + 1) / 2 | 0 to 1 |
    | `weight_entropy` | weight of the entropy, likewise | 0 to 1 |
    | `weight_least_confidence` | weight of one minus the largest probability, likewise | 0 to 1 |
    | `weight_typicality` | weight of closeness to the 20 nearest items, likewise | 0 to 1 |
    | `weight_novelty` | weight of the distance to the nearest labelled item, likewise | 0 to 1 |
    | `weight_random` | weight of a uniform draw of the task's own stream, likewise | 0 to 1 |
    | `weight_coverage` | weight of the uncertainty-weighted coverage gain, likewise | 0 to 1 |
    | `power` | exponent of the uncertainty in the coverage gain, (a + 1)^2 | 0 to 4 |
    | `width` | kernel width in units of h, 4^a | 1/4 to 4 |
    | `temperature` | divides the logits before uncertainties are taken, 4^a | 1/4 to 4 |
    | `diversity` | penalty on the similarity to the batch so far, (a + 1) / 2 | 0 to 1 |
    | `ratio` | sampling ratio: share of the unlabelled items considered, 0.1 + 0.45 (a + 1) | 0.1 to 1 |

    Only the proportions of the weights count. All zeros is the blend of equal weights. With `allow_stop=True` there is
    one more number, `stop`: above 0.5 it ends the campaign, from the second round on. `info["action_mask"]` (int8) is
    1 for numbers that have an effect: all but `stop` in the first round. An action outside the space raises
    `al_gym.errors.ActionError` before anything changes.

    ## Observation space
    `Box(-1, 1, (F,), float32)`, as in `al_gym/Strategy-v0`.

    ## Rewards
    By name, `reward=`: `gain_per_label` (default), `aulc`, `advantage`, `steps_to_target`; `round_cost` is subtracted
    each round.

    ## Starting state
    As in `al_gym/Strategy-v0`; `reset(options={"task": name or Dataset or Task, "task_seed": n})` fixes it.

    ## Episode end
    `terminated` when the budget is spent, the pool is exhausted, `target_accuracy` is reached or the agent stops. The
    last batch is clipped to what is left. Episodes are never truncated.

    ## Arguments
    ```python
    import gymnasium as gym
    import al_gym

    env = gym.make("al_gym/Blend-v0", budget=50)
    ```
    See `al_gym.envs.engine.Settings` for all of them; `strategies` has no other value than its default, `["blend"]`.

    ## Version history
    * v0: first version.
    """

    kind = BlendActions
    defaults = {"strategies": ("blend",)}  # noqa: RUF012


class BlendVectorEnv(CampaignVectorEnv):
    """Many `al_gym/Blend-v0` campaigns at once."""

    kind = BlendActions
    defaults = {"strategies": ("blend",)}  # noqa: RUF012
