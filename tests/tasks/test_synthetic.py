import pickle
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from al_gym.errors import ParameterError
from al_gym.tasks.dataset import Dataset
from al_gym.tasks.synthetic import DEFAULT_PRIOR, KINDS, SMALL_PRIOR, SyntheticPrior, synthetic_dataset
from al_gym.tasks.synthetic.labels import _allocate
from al_gym.tasks.synthetic.latent import class_sizes
from al_gym.tasks.synthetic.rows import add_duplicates, shuffle_some_labels


@pytest.fixture(scope="module")
def datasets() -> list[Dataset]:
    return [synthetic_dataset(index) for index in range(200)]


def test_every_dataset_keeps_the_promised_ranges(datasets: list[Dataset]) -> None:
    for index, dataset in enumerate(datasets):
        assert dataset.name == dataset.family == f"synthetic-{index:06d}"
        assert 400 <= dataset.n_items <= 2000
        assert 2 <= dataset.n_features <= 100
        assert 2 <= dataset.n_classes <= 20
        assert np.bincount(dataset.y, minlength=dataset.n_classes).min() >= 8
        assert np.isfinite(dataset.X.astype(np.float64)).all()
        assert dataset.X.dtype == (np.uint8 if dataset.modality == "image-raw" else np.float32)


def test_the_prior_is_wide(datasets: list[Dataset]) -> None:
    kinds = Counter(dataset.source.rpartition(" ")[2] for dataset in datasets)
    assert set(kinds) == set(KINDS)
    assert {d.modality for d in datasets} == {"tabular", "text-embedding", "image-embedding", "image-raw"}
    assert {2, 3, 10} <= {d.n_classes for d in datasets}
    assert max(d.n_classes for d in datasets) > 15
    assert min(d.n_features for d in datasets) <= 3
    assert max(d.n_features for d in datasets) >= 95
    assert np.mean([d.n_items >= 1100 for d in datasets]) > 0.75
    majority = [np.bincount(d.y).max() * d.n_classes / d.n_items for d in datasets]
    assert np.quantile(majority, 0.1) < 1.2 < 1.5 < np.quantile(majority, 0.9)


def test_text_embeddings_have_unit_length(datasets: list[Dataset]) -> None:
    text = [d for d in datasets if d.modality == "text-embedding"]
    for dataset in text:
        np.testing.assert_allclose(np.linalg.norm(dataset.X, axis=1), 1.0, atol=1e-3)


def accuracy_after(dataset: Dataset, n_labels: int) -> float:
    """Accuracy of logistic regression with `n_labels` random labels, scaled by the rules of CONTRACT."""
    X = dataset.X.astype(np.float64) - dataset.X.mean(axis=0)
    X /= (X.std(axis=0) + 1e-9) if dataset.modality == "tabular" else np.sqrt((X**2).mean())
    learner = LogisticRegression(C=1, max_iter=200).fit(X[:n_labels], dataset.y[:n_labels])
    return float(learner.score(X[n_labels:], dataset.y[n_labels:]))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_difficulty_ranges_from_hard_to_easy(datasets: list[Dataset]) -> None:
    low, median, high = np.quantile([accuracy_after(d, 110) for d in datasets[:80]], [0.1, 0.5, 0.95])
    assert 0.3 < low < 0.6
    assert 0.65 < median < 0.85
    assert 0.9 < high < 1.0


def test_a_dataset_is_a_function_of_its_index_alone(datasets: list[Dataset]) -> None:
    code = (
        "from al_gym.tasks.synthetic import synthetic_dataset\n"
        "d = synthetic_dataset(17); print(d.content_hash.hex(), d.y.sum())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert other == [datasets[17].content_hash.hex(), str(datasets[17].y.sum())]
    assert len({dataset.content_hash for dataset in datasets}) == len(datasets)
    assert synthetic_dataset(17, prefix="other").content_hash != datasets[17].content_hash


def test_global_generator_is_untouched() -> None:
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    synthetic_dataset(3)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_features_are_rounded_so_that_hashes_agree_between_machines(datasets: list[Dataset]) -> None:
    for dataset in datasets[:40]:
        if dataset.X.dtype == np.float32:
            rounded = np.round(dataset.X.astype(np.float64), 5).astype(np.float32)
            np.testing.assert_array_equal(dataset.X, rounded)


def test_generation_is_fast() -> None:
    times = []
    for index in range(60):
        start = time.perf_counter()
        synthetic_dataset(index)
        times.append(time.perf_counter() - start)
    assert np.median(times) < 0.03  # about 0.003 on a quiet core


@settings(max_examples=20, deadline=None)
@given(index=st.integers(0, 10**9))
def test_small_prior_keeps_its_ranges(index: int) -> None:
    dataset = synthetic_dataset(index, prior=SMALL_PRIOR, prefix="synthetic-small")
    assert 200 <= dataset.n_items <= 300
    assert 2 <= dataset.n_features <= 9
    assert 2 <= dataset.n_classes <= 4
    assert np.bincount(dataset.y, minlength=dataset.n_classes).min() >= 8


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), n_classes=st.integers(2, 12), n_items=st.integers(100, 400))
def test_class_sizes_add_up(seed: int, n_classes: int, n_items: int) -> None:
    sizes = class_sizes(np.random.default_rng(seed), DEFAULT_PRIOR, n_items, n_classes)
    assert sizes.sum() == n_items
    assert sizes.min() >= 8


def allocate_naive(scores: np.ndarray, sizes: np.ndarray) -> list[int]:
    labels = [-1] * len(scores)
    waiting = sorted(range(len(sizes)), key=lambda c: (sizes[c], c))
    while waiting:
        label = waiting.pop(0)
        free = [i for i in range(len(scores)) if labels[i] < 0]
        best = [max((scores[i][c] for c in waiting), default=0.0) for i in free]
        ranked = sorted(range(len(free)), key=lambda k: -(scores[free[k]][label] - best[k]))
        for k in ranked[: sizes[label]]:
            labels[free[k]] = label
    return labels


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(1, 6), min_size=2, max_size=5))
def test_allocation_equals_the_naive_one(seed: int, sizes: list[int]) -> None:
    scores = np.random.default_rng(seed).normal(size=(sum(sizes), len(sizes)))
    labels = _allocate(scores, np.array(sizes))
    assert np.bincount(labels, minlength=len(sizes)).tolist() == sizes
    assert labels.tolist() == allocate_naive(scores, np.array(sizes))


def test_wrong_labels_keep_the_class_sizes() -> None:
    prior = replace(DEFAULT_PRIOR, label_noise_share=1.0, label_noise=(0.3, 0.3))
    labels = np.repeat([0, 1, 2], [100, 200, 300])
    noisy = shuffle_some_labels(np.random.default_rng(0), prior, labels)
    assert np.bincount(noisy).tolist() == [100, 200, 300]
    assert 0.1 < (noisy != labels).mean() < 0.3
    clean = replace(DEFAULT_PRIOR, label_noise_share=0.0)
    np.testing.assert_array_equal(shuffle_some_labels(np.random.default_rng(0), clean, labels), labels)


def test_duplicates_lie_next_to_a_row_of_their_class() -> None:
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(50, 20)), rng.integers(3, size=50)
    more, more_labels = add_duplicates(rng, points, labels, 10)
    distances = np.linalg.norm(more[50:, None] - points[None], axis=2)
    assert distances.min(axis=1).max() < 1.0 < np.sort(distances, axis=1)[:, 1].min()
    np.testing.assert_array_equal(more_labels[50:], labels[distances.argmin(axis=1)])


@pytest.mark.parametrize(
    ("dials", "message"),
    [
        ({"kind_weights": (1.0, 2.0)}, "kind_weights"),
        ({"label_noise_share": 1.5}, "label_noise_share"),
        ({"separation": (3.0, 1.0)}, "separation"),
        ({"n_classes": (1, 5)}, "n_classes"),
        ({"n_classes": (2, 90)}, "lower it or raise n_items"),
    ],
)
def test_impossible_dials_are_refused(dials: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        SyntheticPrior(**dials)


def test_dials_change_what_is_drawn() -> None:
    only_text = SyntheticPrior(kind_weights=(0, 0, 0, 1, 0, 0), n_classes=(7, 7), binary_share=0.0)
    drawn = [synthetic_dataset(i, prior=only_text) for i in range(5)]
    assert {(d.modality, d.n_classes) for d in drawn} == {("text-embedding", 7)}
    assert pickle.loads(pickle.dumps(only_text)) == only_text
    with pytest.raises(ParameterError, match="-1"):
        synthetic_dataset(-1)
