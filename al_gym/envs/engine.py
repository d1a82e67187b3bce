"""The rules of the environments, batched: what single and vector environments both are thin covers of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from al_gym.campaign import Campaign
from al_gym.envs.actions import Actions, Decision
from al_gym.envs.history import History
from al_gym.envs.meta import MetaTask, options_of, replay_of
from al_gym.envs.observations import DEFAULT_FEATURES
from al_gym.envs.rewards import REWARDS, Reference, Transition
from al_gym.errors import ParameterError
from al_gym.learners import Learner
from al_gym.registry import call_with
from al_gym.strategies import Strategy, make_strategy
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.load import load_tasks
from al_gym.tasks.suites import SUITES
from al_gym.tasks.task import Initial, Task, make_task
from al_gym.threads import one_thread

DEFAULT_STRATEGIES = (
    "random", "margin", "entropy", "least-confidence", "kcenter", "badge", "maxherding", "margin-kcenter",
)  # fmt: skip
BATCH_CHOICES = (1, 2, 5, 10, 20)

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """The keyword arguments of every environment; plain values keep the environment's spec JSON-able.

    Attributes:
        tasks: a suite's name, a folder of datasets, a `Dataset`, a list of them, or a `TaskDistribution`.
        split: `train`, `valid` or `test` part of the tasks by family, or None for all of them; `auto` is `train` for a
            named suite and all for data of your own.
        learner: a learner's name or 'name:parameter=value'.
        strategies: strategies to choose from; `Budget-v0` spends by the first one.
        batch_size: labels a round where the agent does not choose, and of the reference strategy.
        batch_choices: labels a round where the agent chooses.
        budget: labels to buy after the seed set.
        pool_size: items to choose from, 60 % of the dataset if that is fewer.
        validation_size: items that the reward is measured on, at most half of what follows the pool.
        initial: `per-class` for one labelled item of each class, or a number of random items.
        scaling: `auto`, `standardize`, `center` or `none`; fitted on the pool.
        reward: `gain_per_label`, `aulc`, `advantage` or `steps_to_target`.
        round_cost: subtracted from every reward.
        allow_stop: adds an action that ends the campaign; masked before the first round.
        target_accuracy: validation accuracy in (0, 1] that ends the campaign; None for none.
        label_noise: probability in [0, 1) that the oracle answers with another class.
        features: names of the feature sets of the observation.
        draws: proposals of each strategy that is not deterministic, where the agent chooses among proposals.
        device: where the arrays live.
    """

    tasks: Any = "default"
    split: str | None = "auto"
    learner: str | Learner = "softmax"
    strategies: Sequence[str | Strategy] = DEFAULT_STRATEGIES
    batch_size: int = 5
    batch_choices: Sequence[int] = BATCH_CHOICES
    budget: int = 100
    pool_size: int = 500
    validation_size: int = 500
    initial: Initial = "per-class"
    scaling: str = "auto"
    reward: str = "gain_per_label"
    round_cost: float = 0.0
    allow_stop: bool = False
    target_accuracy: float | None = None
    label_noise: float = 0.0
    features: Sequence[str] = DEFAULT_FEATURES
    draws: int = 3
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("batch_size", "budget", "pool_size", "validation_size", "draws"):
            if not isinstance(getattr(self, name), int | np.integer) or getattr(self, name) < 1:
                raise ParameterError(f"{name} must be a positive integer, got {getattr(self, name)!r}.")
        if not self.strategies or isinstance(self.strategies, str):
            raise ParameterError(f"strategies must be a non-empty list of names, got {self.strategies!r}.")
        choices = list(self.batch_choices)
        if not choices or min(choices) < 1 or len(set(choices)) != len(choices):
            raise ParameterError(f"batch_choices must be distinct positive integers, got {choices}.")
        if self.target_accuracy is not None and not 0 < self.target_accuracy <= 1:
            raise ParameterError(f"target_accuracy must lie in (0, 1], got {self.target_accuracy}.")
        if not np.isfinite(self.round_cost):
            raise ParameterError(f"round_cost must be finite, got {self.round_cost}.")
        REWARDS.get(self.reward)


def make_settings(arguments: Mapping[str, Any]) -> Settings:
    """Settings from keyword arguments; a name that does not exist is an UnknownNameError with the closest ones."""
    return call_with(Settings, "environment", "environments", arguments)


def _part(settings: Settings) -> str | None:
    if settings.split != "auto":
        return settings.split
    named = isinstance(settings.tasks, str) and settings.tasks.partition(":")[0] in SUITES
    return "train" if named else None


class Engine:
    """Campaigns with observations, rewards and ends; no autoreset and no Gymnasium types.

    Args:
        num_envs: number of campaigns.
        settings: the environment's keyword arguments.
        kind: the class that reads actions.
    """

    def __init__(self, num_envs: int, settings: Settings, kind: type[Actions]) -> None:
        self.settings = settings
        self.tasks = load_tasks(settings.tasks, _part(settings))
        self.strategies: list[Strategy] = [make_strategy(s) for s in settings.strategies]
        choices = tuple(map(int, settings.batch_choices))
        self.actions = kind(self.strategies, settings.batch_size, choices, settings.allow_stop, settings.draws)
        self.campaign = Campaign(num_envs, learner=settings.learner, device=settings.device)
        self.observer = self.actions.observer(settings.features)
        self.reward = REWARDS.get(settings.reward)()
        if self.reward.needs_target and settings.target_accuracy is None:
            raise ParameterError(f"reward {settings.reward!r} needs target_accuracy=, for example 0.9.")
        self.query_width = max(self.actions.batches)
        self.accuracy = np.zeros(num_envs)
        self.last_strategy = np.full(num_envs, -1, np.int64)
        self.fixed: list[MetaTask | None] = [None] * num_envs
        self.current: list[MetaTask | None] = [None] * num_envs
        self.history = History(num_envs)
        points = -(-settings.budget // settings.batch_size) + 1
        self._reference = Reference(np.zeros((num_envs, points), np.int64), np.zeros((num_envs, points)))

    # --- reset -----------------------------------------------------------------------------------------
    def reset(
        self, slots: Ints, rngs: Sequence[np.random.Generator], options: Mapping[str, Any] | None
    ) -> NDArray[np.float32]:
        """Start new campaigns in `slots` (n,); returns (n, features) float32.

        Args:
            slots: which campaigns. rngs: one generator a slot. options: see `sample_task`.
        """
        chosen = [options_of(self.fixed[slot], options) for slot in slots.tolist()]
        tasks = [self.sample_task(rng, each) for rng, each in zip(rngs, chosen, strict=True)]
        for slot, task, each in zip(slots.tolist(), tasks, chosen, strict=True):
            self.current[slot] = replay_of(task, each)
        with one_thread():
            self.campaign.load(slots, tasks, [self.settings.budget] * len(tasks))
            if self.reward.needs_reference:
                self._run_reference(slots)
            self.last_strategy[slots] = -1
            self.accuracy[slots] = self.campaign.accuracy(slots)
            self.history.start(slots, self.accuracy[slots])
            return self.observer.observe(self.campaign, slots, self.last_strategy[slots])

    def sample_task(self, rng: np.random.Generator, options: Mapping[str, Any]) -> Task:
        """Draw a task.

        Args:
            rng: the environment's generator; two draws are taken unless `options` fix them.
            options: `task`: a dataset's name among the tasks, a `Dataset`, or a `Task` (used as it is);
                `task_seed`: the seed of the split.

        Raises:
            ParameterError: an option that does not exist.
            UnknownNameError: no dataset of that name; lists the closest.
            TaskError: the dataset is too small.
        """
        for key in options:
            if key not in ("task", "task_seed"):
                raise ParameterError(f"reset option {key!r} does not exist; there are 'task' and 'task_seed'.")
        chosen = options.get("task")
        if isinstance(chosen, Task):
            return chosen
        if chosen is None:
            dataset = self.tasks.sample(rng)
        else:
            dataset = chosen if isinstance(chosen, Dataset) else self.tasks.get(chosen)
        seed = options.get("task_seed")
        s = self.settings
        return make_task(
            dataset,
            int(rng.integers(2**31)) if seed is None else int(seed),
            pool_size=s.pool_size,
            validation_size=s.validation_size,
            initial=s.initial,
            scaling=s.scaling,
            label_noise=s.label_noise,
        )

    def _run_reference(self, slots: Ints) -> None:
        """Run margin with the default batch from the seed set to the end, keep its curve, and go back."""
        spent, accuracy = self._reference.spent, self._reference.accuracy
        margin = [make_strategy("margin")]
        spent[slots], accuracy[slots] = 0, self.campaign.accuracy(slots)[:, None]
        for point in range(1, spent.shape[1]):
            remaining = self.campaign.remaining(slots)
            open_ = slots[remaining > 0]
            if len(open_):
                k = np.minimum(self.settings.batch_size, remaining[remaining > 0])
                queries = self.campaign.select(open_, margin, np.zeros(len(open_), np.int64), k)
                self.campaign.reveal(open_, queries)
                accuracy[open_, point:] = self.campaign.accuracy(open_)[:, None]
            spent[slots, point] = self.campaign.spent(slots)
        self.campaign.restart(slots)

    # --- step --------------------------------------------------------------------------------------------
    def step(self, slots: Ints, actions: Any) -> tuple[NDArray[np.float32], Floats, Bools, dict[str, Any]]:
        """One round of the campaigns in `slots` (n,).

        Args:
            slots: which campaigns, all of them running. actions: one a slot.

        Returns:
            observations (n, features) float32, rewards (n,) float64, terminated (n,) bool, and the columns of the
            infos, each (n, ...).

        Raises:
            ActionError: an action is outside the space; nothing has changed.
        """
        decision = self.actions.decode(actions, slots, self.campaign.rounds(slots))
        with one_thread():
            return self._round(slots, decision)

    def _round(self, slots: Ints, decision: Decision) -> tuple[NDArray[np.float32], Floats, Bools, dict[str, Any]]:
        stop = decision.stop
        batch = np.where(stop, 0, np.minimum(decision.batch, self.campaign.remaining(slots)))
        queries = np.full((len(slots), self.query_width), -1, np.int64)
        going = ~stop
        before = self.accuracy[slots]
        if going.any():
            asked = self._select(slots[going], decision.take(going), batch[going])
            self.campaign.reveal(slots[going], asked)
            queries[going, : asked.shape[1]] = asked
            self.accuracy[slots[going]] = self.campaign.accuracy(slots[going])
            self.last_strategy[slots[going]] = decision.strategy[going]
        remaining, spent = self.campaign.remaining(slots), self.campaign.spent(slots)
        ended = stop | (remaining == 0)
        if self.settings.target_accuracy is not None:
            ended |= self.accuracy[slots] >= self.settings.target_accuracy
        reward = self._pay(slots, before, batch, spent, ended, stop)
        strategy = np.where(stop, -1, decision.strategy)
        self.history.append(slots, strategy, batch, self.accuracy[slots])
        columns = self.columns(slots) | {
            "invalid_action": decision.invalid,
            "strategy": strategy,
            "batch": batch,
            "queries": queries,
            "exhausted": (remaining == 0) & (spent < self.settings.budget),
        }
        observation = self.observer.observe(self.campaign, slots, self.last_strategy[slots])
        return observation, reward, ended, columns

    def _select(self, slots: Ints, decision: Decision, k: Ints) -> Ints:
        """The queries of a decision in which nobody stops."""
        picked = self.actions.pick(slots, list(self.campaign.views(slots)), decision, k)
        if picked is None:
            return self.campaign.select(slots, self.strategies, decision.strategy, k)
        return self.campaign.checked(slots, picked, k, "the action")

    def _pay(self, slots: Ints, before: Floats, batch: Ints, spent: Ints, ended: Bools, stop: Bools) -> Floats:
        reference = None
        if self.reward.needs_reference:
            reference = Reference(self._reference.spent[slots], self._reference.accuracy[slots])
        budget = np.full(len(slots), self.settings.budget, np.int64)
        transition = Transition(before, self.accuracy[slots], batch, spent, budget, ended, stop, reference)
        return self.reward(transition) - self.settings.round_cost * ~stop

    # --- what the covers show ----------------------------------------------------------------------------
    def columns(self, slots: Ints) -> dict[str, Any]:
        """Info columns that every reset and step has, each (n,)."""
        return {
            "n_labelled": self.campaign.n_labelled(slots),
            "round": self.campaign.rounds(slots),
            "validation_accuracy": self.accuracy[slots].copy(),
        }

    def reset_columns(self, slots: Ints) -> dict[str, Any]:
        """Info columns of a reset, each (n,)."""
        tasks = [self.campaign.tasks[slot] for slot in slots.tolist()]
        names = np.array([None if task is None else task.dataset.name for task in tasks], dtype=object)
        seeds = np.array([0 if task is None else task.seed for task in tasks], dtype=np.int64)
        return self.columns(slots) | {"task": names, "task_seed": seeds}

    def masks(self, slots: Ints) -> list[Bools]:
        """One (n, size) bool array an action component."""
        return self.actions.masks(slots, self.campaign.rounds(slots))
