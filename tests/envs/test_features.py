"""Observation components: the compiled twins against torch, and both against plain numpy."""

import numpy as np
import pytest
import torch

from al_gym import kernels
from al_gym.campaign import Campaign
from al_gym.envs.observations import DEFAULT_FEATURES, Observer, Setting
from al_gym.envs.observations.base import masked_quantiles
from al_gym.strategies import make_strategy
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.task import make_task


def campaign() -> tuple[Campaign, np.ndarray, np.ndarray]:
    tasks = []
    for i, (n, d, classes) in enumerate([(200, 3, 2), (300, 12, 5), (150, 40, 3), (90, 3, 2)]):
        rng = np.random.default_rng(i)
        y = np.arange(n) % classes
        X = rng.normal(size=(classes, d))[y] + rng.normal(size=(n, d))
        data = Dataset(f"d{i}", X.astype(np.float32), y, tuple(map(str, range(classes))))
        tasks.append(make_task(data, i, pool_size=80, validation_size=40))
    made = Campaign(4)
    slots = np.arange(4)
    made.load(slots, tasks, [30] * 4)
    last = np.array([0, 1, 1, 0])
    for _ in range(3):
        made.reveal(slots, made.select(slots, [make_strategy("margin"), make_strategy("random")], last, np.full(4, 5)))
    return made, slots, last


def observer(*features: str) -> Observer:
    return Observer(Setting((make_strategy("margin"), make_strategy("random")), (5,)), features or DEFAULT_FEATURES)


@pytest.mark.skipif(not kernels.available(), reason="compares the compiled twins, which AL_GYM_NO_NUMBA=1 switches off")
def test_compiled_features_equal_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    made, slots, last = campaign()
    compiled = observer().observe(made, slots, last)
    monkeypatch.setenv("AL_GYM_NO_NUMBA", "1")
    reference = observer().observe(made, slots, last)
    assert not kernels.available()
    assert np.abs(compiled - reference).max() < 2e-3
    exact = [i for i, name in enumerate(observer().names) if "_q" not in name and "median" not in name]
    assert np.abs(compiled - reference)[:, exact].max() < 2e-5


def test_components_mean_what_they_say() -> None:
    made, slots, last = campaign()
    values = dict(zip(observer().names, observer().observe(made, slots, last).T, strict=True))
    for at, view in made.views(slots):
        for g, slot in enumerate(at):
            n, c = int(view.n_items[g]), int(view.n_classes[g])
            p = view.proba[g, :c, :n].numpy()
            free = ~view.labelled[g, :n].numpy()
            entropy = -(p * np.log(np.maximum(p, 1e-30))).sum(axis=0)[free] / np.log(c)
            ordered = np.sort(p, axis=0)[:, free]
            margin = ordered[-1] - ordered[-2]
            assert np.isclose(values["uncertainty/entropy_mean"][slot], entropy.mean(), atol=1e-4)
            assert np.isclose(values["uncertainty/margin_q50"][slot], np.median(margin), atol=0.03)
            assert np.isclose(values["progress/budget_used"][slot], 0.5)
            X = view.X[g, :n].numpy()
            labelled = X[view.order[g, : int(view.n_labelled[g])].numpy()]
            nearest = np.linalg.norm(X[free][:, None] - labelled[None], axis=2).min(axis=1)
            assert np.isclose(
                values["coverage/mean"][slot], min(nearest.mean() / 4 / float(view.bandwidth()[g]), 1), atol=1e-3
            )
            typical = -view.neighbour_distance()[g, :n].numpy()[free]
            assert np.isclose(
                values["coverage/uncertain_typical"][slot], np.corrcoef(1 - margin, typical)[0, 1], atol=1e-2
            )
            labels = np.bincount(view.y[g, :n].numpy()[~free], minlength=c) / (~free).sum()
            assert np.isclose(values["classes/label_least"][slot], min(labels.min() * c, 1), atol=1e-4)
            assert np.isclose(
                values["classes/shift"][slot], 0.5 * np.abs(labels - p[:, free].mean(axis=1)).sum(), atol=1e-4
            )


def test_histogram_quantiles_are_close_to_exact_ones() -> None:
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.beta(0.5, 2, size=(3, 700)).astype(np.float32))
    mask = torch.from_numpy(rng.random((3, 700)) < 0.7)
    ours = masked_quantiles(values, mask, (0.05, 0.5, 0.95)).numpy()
    exact = [np.quantile(values[i][mask[i]].numpy(), (0.05, 0.5, 0.95)) for i in range(3)]
    assert np.abs(ours - exact).max() < 1.5 / 128


def test_an_empty_pool_gives_finite_components() -> None:
    data = Dataset(
        "small", np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32), np.arange(20) % 2, ("a", "b")
    )
    made = Campaign(1)
    slot = np.zeros(1, np.int64)
    made.load(slot, [make_task(data, 0, pool_size=10, validation_size=5)], [100])
    made.reveal(slot, made.select(slot, [make_strategy("random")], slot, made.remaining(slot)))
    assert np.isfinite(observer(*DEFAULT_FEATURES, "proposals").observe(made, slot, slot)).all()


def test_observations_do_not_depend_on_batch_mates() -> None:
    made, slots, last = campaign()
    together = observer().observe(made, slots, last)
    for slot in slots:
        assert np.array_equal(
            together[slot], observer().observe(made, slots[slot : slot + 1], last[slot : slot + 1])[0]
        )
