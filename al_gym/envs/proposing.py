"""Actions and observations of an agent that chooses among proposed batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from al_gym.campaign import Campaign
from al_gym.envs.actions import Actions, Bools, Decision, Ints, Views, mask_stop
from al_gym.envs.observations import Observer, Setting
from al_gym.envs.observations.batches import BATCH_FEATURES, describe_batches
from al_gym.errors import StrategyError
from al_gym.pool import PoolView
from al_gym.strategies import Strategy


@dataclass(frozen=True)
class Proposals:
    """The batches proposed to a campaign: `queries` (M, batch) int64, -1 for none; `fresh` (M,) bool, not a repeat."""

    queries: Ints
    fresh: Bools


class CandidateActions(Actions):
    """Which of M proposed batches is labelled next; arguments as of `Actions`.

    The observer of these actions makes the proposals and leaves them in `proposals`, by slot, until the next look.
    """

    def __init__(
        self,
        strategies: Sequence[Strategy],
        batch_size: int,
        batch_choices: tuple[int, ...],
        allow_stop: bool,
        draws: int = 1,
    ) -> None:
        super().__init__(strategies, batch_size, batch_choices, allow_stop, draws)
        counts = [1 if strategy.deterministic else draws for strategy in self.strategies]
        self.sources = [(index, draw) for index, count in enumerate(counts) for draw in range(count)]
        self.proposals: dict[int, Proposals] = {}

    @property
    def sizes(self) -> tuple[int, ...]:
        """See `Actions.sizes`."""
        return (len(self.sources) + int(self.allow_stop),)

    @property
    def candidates(self) -> list[str]:
        """One name a proposal: the strategy's, with the number of the draw from the second on."""
        return [self.strategies[i].name + (f"#{draw + 1}" if draw else "") for i, draw in self.sources]

    @property
    def names(self) -> list[str]:
        """See `Actions.names`."""
        return self.candidates + ["stop"] * self.allow_stop

    def space(self) -> spaces.Space[Any]:
        """`Discrete`."""
        return spaces.Discrete(self.sizes[0])

    def observer(self, features: Sequence[str]) -> Observer:
        """See `Actions.observer`."""
        return CandidateObserver(self, features)

    def masks(self, slots: Ints, rounds: Ints) -> list[Bools]:
        """Proposals that repeat an earlier one are masked."""
        (mask,) = super().masks(slots, rounds)
        for i, slot in enumerate(slots.tolist()):
            if slot in self.proposals:
                mask[i, : len(self.sources)] = self.proposals[slot].fresh
        return mask_stop([mask], rounds, self.allow_stop)

    def meaning(self, components: Ints) -> tuple[Ints, Ints, Bools]:
        """See `Actions.meaning`."""
        stop = components[:, 0] >= len(self.sources)
        strategy = np.array([index for index, _ in self.sources])[np.where(stop, 0, components[:, 0])]
        return strategy, np.full(len(components), self.batch_size), stop

    def parameters(self, components: Ints) -> NDArray[Any] | None:
        """The number of the proposal."""
        return components[:, 0]

    def pick(self, slots: Ints, views: Views, decision: Decision, k: Ints) -> Ints | None:
        """The proposals as they were made; a campaign that stops gets the first one."""
        assert decision.parameters is not None  # for the type checker
        out = np.full((len(k), self.batch_size), -1, np.int64)
        chosen = np.where(decision.stop, 0, decision.parameters)
        for i, (slot, number) in enumerate(zip(slots.tolist(), chosen.tolist(), strict=True)):
            if slot not in self.proposals:
                raise StrategyError(f"slot {slot} has no proposals; observe the campaign first.")
            out[i] = self.proposals[slot].queries[number]
        return out

    def propose(self, view: PoolView, k: Tensor) -> Tensor:
        """(tasks, M, batch size) int64: every proposal, -1 after the first `k` (tasks,) items.

        The first draw of a strategy is what it takes in `al_gym/Strategy-v0`.
        """
        out = torch.full((len(view), len(self.sources), self.batch_size), -1, device=k.device)
        for column, (index, draw) in enumerate(self.sources):
            strategy = self.strategies[index]
            stream = view.stream(strategy.name)
            picked = strategy.select(view, k, stream.child(f"draw {draw}") if draw else stream)
            out[:, column, : picked.shape[1]] = picked
        return out


class CandidateObserver(Observer):
    """A description of each proposed batch, (M, F): batch features, then the pool's, repeated in every row.

    Args:
        actions: what the agent chooses from. features: names of feature sets.
    """

    def __init__(self, actions: CandidateActions, features: Sequence[str]) -> None:
        super().__init__(Setting(actions.strategies, actions.batches), features)
        self.actions = actions
        self.columns = {f"batch/{key}": text for key, text in BATCH_FEATURES.items()} | self.documentation
        self.documentation = {
            f"{number}:{name}/{key}": f"{text} ({name})" if key.startswith("batch/") else text
            for number, name in enumerate(actions.candidates)
            for key, text in self.columns.items()
        }

    @property
    def shape(self) -> tuple[int, ...]:
        """(M, F)."""
        return (len(self.actions.sources), len(self.columns))

    def observe(self, campaign: Campaign, slots: Ints, last_strategy: Ints) -> NDArray[np.float32]:
        """(n, M, F) float32 in [-1, 1]; batch features are 0 at the end of a campaign, when nothing is proposed."""
        pool = self._pool_level(campaign, slots, last_strategy)
        out = np.zeros((len(slots), *self.shape), np.float32)
        out[:, :, len(BATCH_FEATURES) :] = pool[:, None, :]
        remaining = campaign.remaining(slots)
        for slot in slots.tolist():
            self.actions.proposals.pop(slot, None)
        open_ = np.nonzero(remaining > 0)[0]
        for at, view in campaign.views(slots[open_]) if len(open_) else ():
            k = torch.from_numpy(np.minimum(remaining[open_[at]], self.actions.batch_size)).to(view.rows.device)
            batches = self.actions.propose(view, k)
            described = describe_batches(view, batches).clamp_(self.low, self.high)
            out[open_[at], :, : len(BATCH_FEATURES)] = described.cpu().numpy()
            fresh = first_of_its_kind(batches).cpu().numpy()
            for i, queries in enumerate(batches.cpu().numpy()):
                self.actions.proposals[int(slots[open_[at[i]]])] = Proposals(queries.copy(), fresh[i].copy())
        return out


def first_of_its_kind(batches: Tensor) -> Tensor:
    """(tasks, M) bool: whether no earlier one of `batches` (tasks, M, k) holds the same items, in any order."""
    ordered = batches.sort(2).values
    same = (ordered[:, :, None, :] == ordered[:, None, :, :]).all(3)
    return ~same.tril(-1).any(2)
