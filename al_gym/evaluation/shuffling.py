"""How much of a policy's lead comes from looking: the same policy with the observations of other datasets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from al_gym.errors import ParameterError, PolicyError
from al_gym.policies.base import Choice, Context, Ints, Policy
from al_gym.streams import task_key
from al_gym.tasks.dataset import Dataset

Recorded = dict[int, list[NDArray[np.float32]]]


class _Wrapper(Policy):
    """Does what `policy` does, under its name."""

    def __init__(self, policy: Policy) -> None:
        if policy.observer is None:
            raise PolicyError(f"policy {policy.name!r} reads no observation; there is nothing to shuffle.")
        self.policy = policy
        self.name = policy.name
        self.strategies = policy.strategies
        self.observer = policy.observer

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of the policy."""
        return self.policy.labels

    def begin(self, n_campaigns: int, batch_size: int) -> None:
        """See `Policy.begin`."""
        self.policy.begin(n_campaigns, batch_size)
        self.observer = self.policy.observer

    def act(self, context: Context) -> Choice:
        """See `Policy.act`."""
        return self.policy.act(context)

    def observe(self, context: Context, queries: Ints) -> None:
        """See `Policy.observe`."""
        self.policy.observe(context, queries)


class Recording(_Wrapper):
    """A policy whose observations are kept: task key -> one array a round. Run it in one process.

    Args:
        policy: reads an observation.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self.recorded: Recorded = {}

    def act(self, context: Context) -> Choice:
        """See `Policy.act`."""
        assert context.observation is not None  # for the type checker
        for at, key in _keys(context):
            if context.rounds[at] == 0:
                self.recorded[key] = []
            self.recorded[key].append(context.observation[at].copy())
        return super().act(context)


class Shuffled(_Wrapper):
    """A policy that is shown, each round, what it saw in that round of a campaign on ANOTHER dataset.

    Every observation is one that it really meets, in the right round, so that what is lost is the fit between what it
    sees and where it is. What stays of its lead needs no looking: it belongs to a better fixed schedule.

    Args:
        policy: reads an observation.
        recorded: task key -> the observations of its rounds, from `Recording`; after the last round that one is shown.
        donors: task key -> key of the campaign whose observations it is shown; see `draw_donors`.
    """

    def __init__(
        self, policy: Policy, recorded: Mapping[int, Sequence[NDArray[np.float32]]], donors: Mapping[int, int]
    ) -> None:
        super().__init__(policy)
        self.recorded = recorded
        self.donors = donors

    def fingerprint(self) -> str:
        """The policy's, and how many donors there are."""
        return f"shuffled {self.policy.fingerprint()} {len(self.donors)}"

    def act(self, context: Context) -> Choice:
        """See `Policy.act`."""
        assert context.observation is not None  # for the type checker
        shown = context.observation.copy()
        for at, key in _keys(context):
            rounds = self.recorded[self.donors[key]]
            shown[at] = rounds[min(int(context.rounds[at]), len(rounds) - 1)]
        return super().act(replace(context, observation=shown))


def _keys(context: Context) -> Iterable[tuple[int, int]]:
    """Position and task key of each campaign."""
    for at, view in context.views:
        yield from zip(at.tolist(), view.arrays.key[view.rows.cpu().numpy()].tolist(), strict=True)


def draw_donors(
    datasets: Sequence[Dataset], seeds: Sequence[int], recorded_seeds: Sequence[int], *, seed: int = 0
) -> dict[int, int]:
    """For each campaign one on another dataset: for every seed the datasets stand in a random circle.

    Args:
        datasets: at least two. seeds: of the campaigns to shuffle. recorded_seeds: of those that were recorded; a
            campaign's donor has the recorded seed at the same place, over and over.
        seed: of the circles.

    Returns:
        Task key -> task key.

    Raises:
        ParameterError: fewer than two datasets, or two of the same content.
    """
    hashes = [dataset.content_hash for dataset in datasets]
    if len(set(hashes)) < max(2, len(datasets)):
        raise ParameterError(f"shuffling needs at least two datasets, all different, got {[d.name for d in datasets]}.")
    donors = {}
    for place, own in enumerate(seeds):
        circle = np.random.default_rng(np.random.SeedSequence([seed, own])).permutation(len(datasets))
        donor_seed = recorded_seeds[place % len(recorded_seeds)]
        for receiver, giver in zip(circle, np.roll(circle, 1), strict=True):
            donors[task_key(hashes[receiver], own)] = task_key(hashes[giver], donor_seed)
    return donors
