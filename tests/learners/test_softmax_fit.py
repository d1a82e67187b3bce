"""The softmax solvers, torch and numba, against scikit-learn and first principles."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch
from parity_tasks import REAL, SYNTHETIC, ParityTask, exact_proba, parity_task

from al_gym import kernels
from al_gym.errors import LearnerError
from al_gym.learners import softmax_fit as torch_fit

MEAN, LARGEST = 2e-4, 1e-2  # promise P7
SAFETY = 2


@pytest.fixture(params=["torch", "numba"])
def solver(request: pytest.FixtureRequest) -> ModuleType:
    if request.param == "torch":
        return torch_fit
    if not kernels.available():
        pytest.skip("numba is not installed")
    return kernels.load("softmax_fit")


def storage(tasks: list[tuple[np.ndarray, np.ndarray]], n_classes: int, extra: int = 0) -> dict[str, torch.Tensor]:
    """Padded arguments of `fit_softmax` for (X, y) of labelled items; `extra` widens the padding."""
    rows, width = max(len(y) for _, y in tasks) + extra, tasks[0][0].shape[1]
    XL = torch.zeros(len(tasks), rows, width + extra)
    y = torch.full((len(tasks), rows), -1)
    seen = torch.zeros(len(tasks), n_classes + extra, dtype=torch.bool)
    for g, (features, labels) in enumerate(tasks):
        XL[g, : len(labels), :width] = torch.tensor(features)
        y[g, : len(labels)] = torch.tensor(labels)
        seen[g, labels] = True
    count = torch.tensor([len(labels) for _, labels in tasks])
    W = torch.zeros(len(tasks), n_classes + extra, width + extra + 1)
    n_features = torch.full((len(tasks),), width)
    return {
        "XL": XL,
        "y": y,
        "count": count,
        "n_features": n_features,
        "seen": seen,
        "W": W,
        "penalty": torch.ones(len(tasks)),
    }


def predict(W: torch.Tensor, seen: torch.Tensor, X: np.ndarray) -> np.ndarray:
    """(classes, items) float64 probabilities, independent of the code under test."""
    w, width = W.double().numpy(), X.shape[1]
    logits = w[:, :width] @ X.astype(np.float64).T + w[:, -1:]
    logits[~seen.numpy()] = -np.inf
    p = np.exp(logits - logits.max(0))
    return p / p.sum(0)


def lagged(task: ParityTask, lag: int | None) -> list[tuple[np.ndarray, np.ndarray]]:
    sizes = [max(1, n - (lag or 0)) for n in task.labels]
    return [(task.X[:n], task.y[:n]) for n in sizes]


def parity_errors(solver: ModuleType, name: str, scaling: str, lag: int | None, tol: float) -> tuple[float, float]:
    """Largest mean and largest single difference to the exact pool probabilities over the numbers of labels."""
    task = parity_task(name, scaling)
    now = storage(lagged(task, None), task.n_classes, extra=1)
    if lag is not None:
        before = storage(lagged(task, lag), task.n_classes, extra=1)
        solver.fit_softmax(**before, tol=tol)
        now["W"] = before["W"]
    iterations = solver.fit_softmax(**now, tol=tol)
    assert (iterations < torch_fit.MAX_ITER).all()
    mean, largest = 0.0, 0.0
    for g, labels in enumerate(task.labels):
        exact = exact_proba(name, scaling, labels)
        difference = np.abs(predict(now["W"][g], now["seen"][g], task.X)[: task.n_classes] - exact)
        mean, largest = max(mean, difference.mean()), max(largest, difference.max())
    return mean, largest


@pytest.mark.parametrize("scaling", ["standardize", "center"])
@pytest.mark.parametrize("name", [*REAL, *SYNTHETIC[:6]])
def test_default_tolerance_is_closer_to_the_exact_solution_than_p7_asks(solver, name, scaling):
    for lag in (None, 1, 5, 10):
        mean, largest = parity_errors(solver, name, scaling, lag, torch_fit.DEFAULT_TOL)
        assert mean <= MEAN / SAFETY, (lag, mean)
        assert largest <= LARGEST / SAFETY, (lag, largest)


@pytest.mark.slow
@pytest.mark.parametrize("scaling", ["standardize", "center"])
@pytest.mark.parametrize("name", SYNTHETIC[6:])
def test_default_tolerance_on_the_other_synthetic_tasks(solver, name, scaling):
    for lag in (None, 1, 5, 10):
        mean, largest = parity_errors(solver, name, scaling, lag, torch_fit.DEFAULT_TOL)
        assert mean <= MEAN / SAFETY, (lag, mean)
        assert largest <= LARGEST / SAFETY, (lag, largest)


@pytest.mark.parametrize("scaling", ["standardize", "center"])
@pytest.mark.parametrize("name", [*REAL, "synthetic1"])
def test_tight_tolerance_brings_every_probability_within_1e_4(solver, name, scaling):
    for lag in (None, 10):
        assert parity_errors(solver, name, scaling, lag, torch_fit.TIGHT_TOL)[1] <= 1e-4


@pytest.mark.parametrize(("labels", "width"), [(40, 6), (12, 30)], ids=["over features", "over items"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_gradient_vanishes_and_penalty_is_used(solver, n_classes, labels, width):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(labels, width)).astype(np.float32), np.arange(labels) % n_classes
    arguments = storage([(X, y)], n_classes)
    arguments["penalty"] = torch.tensor([0.3])
    solver.fit_softmax(**arguments, tol=torch_fit.TIGHT_TOL)
    W = arguments["W"][0].double().numpy()
    residual = predict(arguments["W"][0], arguments["seen"][0], X) - (y == np.arange(n_classes)[:, None])
    gradient = np.hstack([residual @ X + 0.3 * (2 if n_classes == 2 else 1) * W[:, :-1], residual.sum(1)[:, None]])
    assert np.abs(W).max() > 0.1
    assert np.abs(gradient).max() < 1e-4


def test_two_seen_of_many_classes_share_one_logit(solver):
    task = parity_task("digits", "center")
    pair = np.flatnonzero(np.isin(task.y, (3, 7)))[:50]
    arguments = storage([(task.X[pair], task.y[pair])], 10)
    solver.fit_softmax(**arguments, tol=torch_fit.TIGHT_TOL)
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1, tol=1e-8, max_iter=10000).fit(task.X[pair].astype(np.float64), task.y[pair])
    proba = predict(arguments["W"][0], arguments["seen"][0], task.X)
    assert np.abs(proba[[3, 7]] - model.predict_proba(task.X.astype(np.float64)).T).max() < 1e-4
    assert proba[[0, 1, 2, 4, 5, 6, 8, 9]].max() == 0
    assert arguments["W"][0, [0, 1, 2, 4, 5, 6, 8, 9]].abs().max() == 0


def test_one_class_needs_no_iteration(solver):
    arguments = storage([(np.ones((3, 2), np.float32), np.full(3, 1))], 4)
    assert solver.fit_softmax(**arguments).tolist() == [0]
    assert predict(arguments["W"][0], arguments["seen"][0], np.ones((2, 2)))[1].tolist() == [1, 1]


DEGENERATE = {
    "two items": ([[0.0, 1.0], [1.0, 0.0]], [0, 1]),
    "equal items, two labels": ([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]], [0, 1, 1]),
    "constant features": ([[5.0, 0.0], [5.0, 0.0], [5.0, 0.0], [5.0, 0.0]], [0, 1, 2, 2]),
    "one feature": ([[0.0], [1.0], [2.0], [3.0]], [0, 1, 1, 2]),
    "duplicates in the span": ([[1.0] * 9, [1.0] * 9, [-1.0] * 9, [0.5] * 9], [0, 0, 1, 2]),
}


@pytest.mark.parametrize("case", DEGENERATE)
def test_degenerate_tasks_reach_the_exact_solution(solver, case):
    from sklearn.linear_model import LogisticRegression

    X, y = np.array(DEGENERATE[case][0], np.float32), np.array(DEGENERATE[case][1])
    arguments = storage([(X, y)], 3, extra=2)
    solver.fit_softmax(**arguments, tol=torch_fit.TIGHT_TOL)
    model = LogisticRegression(C=1, tol=1e-10, max_iter=10000).fit(X.astype(np.float64), y)
    proba = predict(arguments["W"][0], arguments["seen"][0], X)[model.classes_]
    assert np.abs(proba - model.predict_proba(X.astype(np.float64)).T).max() < 1e-4


@pytest.mark.parametrize("labels", [20, 120], ids=["over items", "over features"])
def test_any_warm_start_leads_to_the_same_solution(solver, labels):
    task = parity_task("digits", "standardize")
    cold, warm = (storage([(task.X[:labels], task.y[:labels])], 10) for _ in range(2))
    warm["W"] += torch.randn(warm["W"].shape, generator=torch.Generator().manual_seed(0))
    for arguments in (cold, warm):
        solver.fit_softmax(**arguments, tol=torch_fit.TIGHT_TOL)
    proba = [predict(a["W"][0], a["seen"][0], task.X) for a in (cold, warm)]
    assert np.abs(proba[0] - proba[1]).max() < 1e-4


def test_warm_starts_save_iterations(solver):
    task = parity_task("digits", "standardize")
    cold, before = (storage([(task.X[:n], task.y[:n])], 10) for n in (110, 105))
    solver.fit_softmax(**before)
    warm = {**cold, "W": before["W"]}
    cold["W"] = cold["W"].clone()
    assert solver.fit_softmax(**warm) < solver.fit_softmax(**cold)


def test_raw_features_are_fitted_in_float64(solver):
    from sklearn.datasets import load_wine

    X, y = load_wine(return_X_y=True)
    X, order = X.astype(np.float32), np.random.default_rng(1).permutation(len(X))[:40]
    arguments = storage([(X[order], y[order])], 3)
    solver.fit_softmax(**arguments)
    exact = exact_raw(X, y, order)
    assert np.abs(predict(arguments["W"][0], arguments["seen"][0], X) - exact).max() < LARGEST


def exact_raw(X: np.ndarray, y: np.ndarray, order: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    return model.fit(X[order].astype(np.float64), y[order]).predict_proba(X.astype(np.float64)).T


def mixed_tasks() -> list[tuple[np.ndarray, np.ndarray]]:
    task = parity_task("digits", "center")
    return [(task.X[a:b], task.y[a:b]) for a, b in ((0, 130), (5, 25), (40, 42), (100, 190), (7, 8))]


@pytest.mark.parametrize("tol", [torch_fit.DEFAULT_TOL, torch_fit.TIGHT_TOL])
def test_batch_mates_change_no_bit(solver, tol):
    tasks = mixed_tasks()
    together, alone = storage(tasks, 10), storage(tasks, 10)
    iterations = solver.fit_softmax(**together, tol=tol)
    for g in reversed(range(len(tasks))):
        single = solver.fit_softmax(**alone, tol=tol, rows=torch.tensor([g]))
        assert single.item() == iterations[g]
    assert torch.equal(together["W"], alone["W"])


def test_rows_leave_the_others_alone(solver):
    arguments = storage(mixed_tasks(), 10)
    solver.fit_softmax(**arguments, rows=torch.tensor([3, 1]))
    changed = arguments["W"].abs().sum((1, 2)) > 0
    assert changed.tolist() == [False, True, False, True, False]


def test_max_iter_is_a_bound(solver):
    arguments = storage(mixed_tasks()[:1], 10)
    assert solver.fit_softmax(**arguments, max_iter=3).tolist() == [3]


def test_label_of_an_unseen_class_is_refused(solver):
    arguments = storage(mixed_tasks()[:1], 10)
    arguments["seen"][0, 4] = False
    with pytest.raises(LearnerError, match="seen"):
        solver.fit_softmax(**arguments)


def test_twins_agree():
    if not kernels.available():
        pytest.skip("numba is not installed")
    twin = kernels.load("softmax_fit")
    for tol, bound in ((torch_fit.DEFAULT_TOL, 2e-3), (torch_fit.TIGHT_TOL, 2e-5)):
        a, b = storage(mixed_tasks(), 10), storage(mixed_tasks(), 10)
        steps = [m.fit_softmax(**x, tol=tol) for m, x in ((torch_fit, a), (twin, b))]
        assert (a["W"] - b["W"]).abs().max() < bound
        assert (steps[0] - steps[1]).abs().max() <= 3


def test_padding_changes_no_bit_of_the_kernel():
    if not kernels.available():
        pytest.skip("numba is not installed")
    twin = kernels.load("softmax_fit")
    narrow, wide = storage(mixed_tasks(), 10), storage(mixed_tasks(), 10, extra=13)
    for arguments in (narrow, wide):
        twin.fit_softmax(**arguments)
    assert torch.equal(narrow["W"][:, :, :64], wide["W"][:, :10, :64])
    assert torch.equal(narrow["W"][:, :, -1], wide["W"][:, :10, -1])


def test_classes_that_a_task_does_not_have_may_be_left_alone(solver: ModuleType) -> None:
    """Given the numbers of classes, zeros beyond them stay; old weights of unseen classes below go all the same."""
    rng = np.random.default_rng(3)
    tasks = [(rng.standard_normal((12, 4)).astype(np.float32), np.arange(12) % classes) for classes in (2, 3)]
    first, second = storage(tasks, 4, extra=1), storage(tasks, 4, extra=1)
    for arguments in (first, second):
        arguments["W"][:, 3, :4] = arguments["W"][:, 3, -1] = 5.0  # of a class that was seen before a restart
    solver.fit_softmax(**first)
    solver.fit_softmax(**second, n_classes=torch.tensor([4, 4]))
    assert first["W"][:, 3:].abs().max() == 0
    assert torch.equal(first["W"], second["W"])
