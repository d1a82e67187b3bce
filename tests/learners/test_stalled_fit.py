"""Fits that rounding once kept from their tolerance, until they drifted to infinity (float32, singular Gram matrix)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import al_gym
from al_gym import kernels
from al_gym.campaign import Campaign
from al_gym.strategies import make_strategy
from al_gym.tasks.task import make_task

# A campaign of 52 labels in 50 dimensions, in which every item is classified with confidence: the coefficients of its
# last fit, warm-started from 47 labels, used to grow without bound (float32, singular Gram matrix).
POSITIONS = [
    0, 2, 458, 125, 406, 60, 327, 185, 255, 77, 34, 303, 85, 322, 402, 37, 229, 312, 326, 287, 348, 374, 382, 279, 183,
    87, 343, 139, 42, 19, 83, 33, 196, 366, 248, 69, 445, 388, 201, 1, 320, 209, 30, 122, 369, 497, 59, 67, 176, 466,
    107, 274,
]  # fmt: skip


@pytest.mark.skipif(not kernels.available(), reason="numba is switched off")
def test_a_fit_over_a_singular_gram_matrix_ends() -> None:
    dataset = al_gym.load_tasks("default").get("synthetic-000104")
    task = make_task(dataset, 1608587253, pool_size=500, validation_size=500)
    X = torch.from_numpy(task.arrays()[0][POSITIONS])[None]
    y = torch.from_numpy(task.oracle_labels[POSITIONS])[None]
    n = X.shape[2]
    W, seen = torch.zeros(1, 2, n + 1), torch.ones(1, 2, dtype=torch.bool)
    for count in range(2, 53, 5):
        iterations = kernels.load("softmax_fit").fit_softmax(
            X, y, torch.tensor([count]), torch.tensor([n]), seen, W, torch.ones(1)
        )
        assert int(iterations) < 100
        exact = LogisticRegression(C=1, tol=1e-8, max_iter=10000).fit(X[0, :count].double().numpy(), y[0, :count])
        logits = torch.baddbmm(W[:, :, -1:], W[:, :, :-1], X.mT)[0]
        found = logits.softmax(dim=0)[1].numpy()
        assert np.abs(found - exact.predict_proba(X[0].double().numpy())[:, 1]).max() < 1e-2


def test_a_campaign_on_data_of_low_rank_goes_on() -> None:
    """12 labels of 7 classes in a plane of 15 dimensions: the second fit failed."""
    dataset = al_gym.load_tasks("default").get("synthetic-000134")
    task = make_task(dataset, 1514912259, pool_size=500, validation_size=500)
    campaign, slots = Campaign(1), np.array([0])
    campaign.load(slots, [task], [20])
    X = task.arrays()[0].astype(np.float64)
    for _ in range(4):
        queries = campaign.select(slots, [make_strategy("margin")], np.array([0]), np.array([5]))
        campaign.reveal(slots, queries)
        order = campaign.queries(0)
        exact = LogisticRegression(C=1, tol=1e-8, max_iter=10000).fit(X[order], task.oracle_labels[order])
        ((_, view),) = campaign.views(slots)
        found = view.proba[0, exact.classes_, : len(X)].numpy().T
        assert np.abs(found - exact.predict_proba(X)).max() < 1e-2
