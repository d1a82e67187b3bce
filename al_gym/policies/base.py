"""The protocol of policies, batched over campaigns, and their registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from al_gym.campaign import Campaign
from al_gym.envs.observations import Observer
from al_gym.errors import PolicyError
from al_gym.pool import PoolView
from al_gym.registry import Registry
from al_gym.strategies import Strategy

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


class Choice(NamedTuple):
    """What n campaigns do next.

    Attributes:
        strategy: (n,) int64 index into the policy's strategies.
        batch: (n,) int64 labels to ask for, at least 1; what is left of budget and pool clips it.
        stop: (n,) bool, end the campaign instead.
        queries: (n, width) int64 positions in the pools, -1 after what is left of the batch, where the policy names the
            items itself; None where the strategies select them.
    """

    strategy: Ints
    batch: Ints
    stop: Bools
    queries: Ints | None = None


@dataclass(frozen=True)
class Context:
    """What a policy may know of n running campaigns: nothing that a user without labels would lack (promise P2).

    Attributes:
        slots: (n,) int64, which campaigns of the run; indexes whatever a policy keeps a campaign.
        views: for each padded shape, positions within `slots` and the campaigns there.
        rounds: (n,) int64 queries so far.
        spent: (n,) int64 labels bought after the seed set.
        remaining: (n,) int64 labels that can still be bought.
        last_strategy: (n,) int64 index of the last strategy, -1 before the first round.
        batch_size: the default batch.
        observation: (n, components) float32 of the policy's observer; None without one.
        campaign: the campaigns with their hidden labels, for policies that declare `privileged`; else None.
    """

    slots: Ints
    views: tuple[tuple[Ints, PoolView], ...]
    rounds: Ints
    spent: Ints
    remaining: Ints
    last_strategy: Ints
    batch_size: int
    observation: NDArray[np.float32] | None = None
    campaign: Campaign | None = None

    def __len__(self) -> int:
        return len(self.slots)

    def uniform(self, name: str, width: int = 1, draw: int = 0) -> Floats:
        """(n, width) in [0, 1), keyed by (task, round, `name`, `draw`): the same whichever campaigns run beside."""
        out = np.zeros((len(self), width))
        for at, view in self.views:
            out[at] = view.stream(name).uniform(width, draw)
        return out

    def foreseen(self, queries: Ints) -> Floats:
        """How the model did on the batch whose labels were just revealed, before they came (prequential).

        Args:
            queries: (n, width) int64 positions in the pools, -1 for none.

        Returns:
            (n, width): 1 where the model had predicted the label, 0 where not, NaN for none.
        """
        out = np.full(queries.shape, np.nan)
        for at, view in self.views:
            asked = queries[at] >= 0
            rows = np.arange(len(at))[:, None]
            item = queries[at].clip(min=0)
            hit = view.previous.cpu().numpy()[rows, item] == view.y.cpu().numpy()[rows, item]
            out[at] = np.where(asked, hit, np.nan)
        return out

    def choice(self, strategy: Ints, batch: int | Ints | None = None) -> Choice:
        """These strategies with the default batch, or with `batch`, and no stop."""
        size = np.full(len(self), self.batch_size) if batch is None else np.broadcast_to(batch, (len(self),))
        return Choice(np.asarray(strategy, np.int64), size.astype(np.int64), np.zeros(len(self), np.bool_))


class Policy(ABC):
    """Decides each round which strategy takes how many labels, for many campaigns at once.

    Attributes:
        name: default name, and key of the policy's random draws.
        spec: the text it was made from, empty if it was not.
        privileged: whether it reads hidden labels; every table marks such a policy.
        strategies: those that it chooses from.
        labels: what results.csv calls each of them.
        observer: what `Context.observation` is made with; None for none.
    """

    name: str = ""
    spec: str = ""
    privileged: ClassVar[bool] = False
    strategies: tuple[Strategy, ...] = ()
    observer: Observer | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """One name a strategy, with its parameters where it was made from text."""
        return tuple(strategy.label or strategy.name for strategy in self.strategies)

    def begin(self, n_campaigns: int, batch_size: int) -> None:
        """Forget everything: `n_campaigns` new campaigns start, in slots from 0; policies with a state override it."""
        return

    @abstractmethod
    def act(self, context: Context) -> Choice:
        """Decide for the campaigns of `context`, all of which can still buy a label."""

    def observe(self, context: Context, queries: Ints) -> None:
        """Learn from labels that were just revealed; policies that learn override it.

        Args:
            context: the campaigns after the reveal (without an observation); `last_strategy` took the batch.
            queries: (n, width) int64 positions in the pools, -1 for none.
        """
        return

    def fingerprint(self) -> str:
        """What decides this policy's numbers, as text: a restarted evaluation refuses another one under its name."""
        if "shipped" in self.spec.partition(":")[2]:  # a list that moves with the shipped policy
            return f"{self.spec} {'+'.join(self.labels)}"
        return self.spec or f"{type(self).__module__}.{type(self).__qualname__}"


POLICIES: Registry[Policy] = Registry("policy", "al_gym.policies")
register_policy = POLICIES.register


def look(
    policy: Policy, campaign: Campaign, slots: Ints, last_strategy: Ints, batch_size: int, *, observe: bool = True
) -> Context:
    """The context of `policy` for the campaigns in `slots` (n,), with its observation unless `observe` is false."""
    observation = None
    if observe and policy.observer is not None:
        observation = policy.observer.observe(campaign, slots, last_strategy)
    return Context(
        slots=slots,
        views=tuple(campaign.views(slots)),
        rounds=campaign.rounds(slots),
        spent=campaign.spent(slots),
        remaining=campaign.remaining(slots),
        last_strategy=last_strategy,
        batch_size=batch_size,
        observation=observation,
        campaign=campaign if policy.privileged else None,
    )


def decide(policy: Policy, context: Context) -> Choice:
    """Ask the policy, check the answer, and clip the batches to what is left of budget and pool.

    Raises:
        PolicyError: the answer has the wrong shape, a strategy that does not exist or a batch below 1.
    """
    answer = policy.act(context)
    raw = [np.asarray(part) for part in answer[:3]]
    queries = answer[3] if len(answer) > 3 else None
    n, who = len(context), f"policy {policy.name!r}"
    kinds = [part.dtype.kind for part in raw]
    if {part.shape for part in raw} != {(n,)} or not set(kinds[:2]) <= set("iu") or kinds[2:] != ["b"]:
        raise PolicyError(f"{who} must answer with integers, integers and bools of shape ({n},), got {answer!r}.")
    strategy, batch, stop = raw[0].astype(np.int64), raw[1].astype(np.int64), raw[2].astype(np.bool_)
    if (~stop & ((strategy < 0) | (strategy >= len(policy.strategies)))).any():
        raise PolicyError(f"{who} chose among {strategy.tolist()}, but it has {len(policy.strategies)} strategies.")
    if (~stop & (batch < 1)).any():
        raise PolicyError(f"{who} asked for batches of {batch.tolist()}; a batch has at least 1 label.")
    if queries is not None and (np.ndim(queries) != 2 or len(queries) != n or queries.dtype.kind not in "iu"):
        raise PolicyError(f"{who} must name items by integers of shape ({n}, width), got {queries!r}.")
    return Choice(strategy, np.minimum(batch, context.remaining), stop, queries)
