"""Softmax scores, torch and numba, against a naive float64 loop."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch

from al_gym import kernels
from al_gym.learners import softmax_score as torch_score
from al_gym.pool.tiles import allocate_tiles, write_tiles

SHAPES = [(4, 300, 6, 5), (3, 129, 33, 2), (3, 1, 1, 3), (2, 500, 64, 20)]


@pytest.fixture(params=["torch", "numba"])
def scorer(request: pytest.FixtureRequest) -> ModuleType:
    if request.param == "torch":
        return torch_score
    if not kernels.available():
        pytest.skip("numba is not installed")
    return kernels.load("softmax_score")


def models(shape: tuple[int, int, int, int]) -> dict[str, torch.Tensor]:
    """Random blocks: rows of different true sizes, the first with one class seen, garbage in the padding of W."""
    tasks, items, features, classes = shape
    g = torch.Generator().manual_seed(sum(shape))
    n_items = torch.randint(1, items + 1, (tasks,), generator=g)
    n_features = torch.randint(1, features + 1, (tasks,), generator=g)
    X = torch.randn(tasks, items, features, generator=g)
    for row in range(tasks):
        X[row, n_items[row] :] = 0
        X[row, :, n_features[row] :] = 0
    seen = torch.rand(tasks, classes, generator=g) < 0.7
    seen[:, 0] = True
    seen[0, 1:] = False
    W = torch.randn(tasks, classes, features + 1, generator=g) * 2
    return {"X": X, "n_items": n_items, "n_features": n_features, "seen": seen, "W": W}


def outputs(shape: tuple[int, int, int, int]) -> dict[str, torch.Tensor]:
    tasks, items, _, classes = shape
    floats = {name: torch.full((tasks, items), 9.0) for name in ("top1", "top2", "entropy")}
    return {"proba": torch.full((tasks, classes, items), 9.0), **floats, "predicted": torch.full((tasks, items), 9)}


def naive(block: dict[str, torch.Tensor], row: int, item: int) -> tuple[np.ndarray, float, float, float, int]:
    n, seen = int(block["n_features"][row]), block["seen"][row].numpy()
    w = block["W"][row].double().numpy()
    logits = np.where(seen, w[:, :n] @ block["X"][row, item, :n].double().numpy() + w[:, -1], -np.inf)
    p = np.exp(logits - logits.max())
    p /= p.sum()
    order = np.sort(p)[::-1]
    return p, order[0], order[1], -sum(v * np.log(v) for v in p if v > 0), int(p.argmax())


@pytest.mark.parametrize("shape", SHAPES)
def test_scores_equal_a_naive_loop_and_padding_is_zero(scorer, shape):
    block, out = models(shape), outputs(shape)
    scorer.score_softmax(**block, **out)
    for row in range(shape[0]):
        items = int(block["n_items"][row])
        for item in range(items):
            p, top1, top2, entropy, predicted = naive(block, row, item)
            assert np.abs(out["proba"][row, :, item].numpy() - p).max() < 2e-6
            scores = [out[name][row, item].item() for name in ("top1", "top2", "entropy")]
            assert np.abs(np.array(scores) - [top1, top2, entropy]).max() < 5e-6
            if top1 - top2 > 1e-5:
                assert out["predicted"][row, item] == predicted
        assert all(value[row, ..., items:].abs().max() == 0 for value in out.values() if items < shape[1])


def test_only_the_asked_rows_and_outputs_are_written(scorer):
    shape = SHAPES[0]
    block, out, whole = models(shape), outputs(shape), outputs(shape)
    scorer.score_softmax(**block, **whole)
    scorer.score_softmax(**block, proba=out["proba"], entropy=out["entropy"], rows=torch.tensor([2, 0]))
    assert out["proba"][[1, 3]].unique().tolist() == [9]
    assert out["predicted"].unique().tolist() == out["top1"].unique().tolist() == out["top2"].unique().tolist() == [9]
    assert torch.equal(out["proba"][[0, 2]], whole["proba"][[0, 2]])
    assert torch.equal(out["entropy"][[0, 2]], whole["entropy"][[0, 2]])


def test_classes_that_a_task_does_not_have_may_be_left_alone(scorer):
    """Given the numbers of classes, zeros beyond them stay; unseen classes below are zeroed all the same."""
    shape = SHAPES[0]
    block, out, whole = models(shape), outputs(shape), outputs(shape)
    scorer.score_softmax(**block, **whole)
    n_classes = block["seen"].int().cumsum(1).argmax(1) + 1  # the last class seen is the last one
    for row, classes in enumerate(n_classes.tolist()):
        out["proba"][row, classes:] = 0
    scorer.score_softmax(**block, **out, n_classes=n_classes)
    assert all(torch.equal(out[name], whole[name]) for name in out)


def test_one_class_seen_is_certain(scorer):
    shape = SHAPES[0]
    block, out = models(shape), outputs(shape)
    scorer.score_softmax(**block, **out)
    items = int(block["n_items"][0])
    assert out["proba"][0, :, :items].sum(1).tolist() == [items, 0, 0, 0, 0]
    assert out["entropy"][0].abs().max() == out["top2"][0].abs().max() == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_hits_are_the_predictions_that_equal_the_label(scorer, shape):
    block, out = models(shape), outputs(shape)
    scorer.score_softmax(**block, **out)
    g = torch.Generator().manual_seed(1)
    y = torch.where(
        torch.rand(shape[:2], generator=g) < 0.5, out["predicted"], torch.randint(0, shape[3], shape[:2], generator=g)
    )
    rows = torch.tensor([shape[0] - 1, 0])
    hits = scorer.class_hits_softmax(
        block["X"], y, block["n_items"], *(block[k] for k in ("n_features", "seen", "W")), rows
    )
    expected = np.zeros((2, shape[3]), int)
    for g, row in enumerate(rows.tolist()):
        for item in range(int(block["n_items"][row])):
            label = int(y[row, item])
            expected[g, label] += label == int(out["predicted"][row, item])
    assert hits.tolist() == expected.tolist()
    assert expected.sum() > 0
    correct = scorer.accuracy_softmax(block["X"], y, *(block[k] for k in ("n_items", "n_features", "seen", "W")), rows)
    assert correct.tolist() == expected.sum(1).tolist()


def test_extreme_logits_stay_finite(scorer):
    block = {
        "X": torch.tensor([[[1.0], [-1.0], [0.0]]]), "n_items": torch.tensor([3]), "n_features": torch.tensor([1]),
        "seen": torch.ones(1, 3, dtype=torch.bool), "W": torch.tensor([[[3e4, 0.0], [-3e4, 0.0], [0.0, -100.0]]]),
    }  # fmt: skip
    out = outputs((1, 3, 1, 3))
    scorer.score_softmax(**block, **out)
    assert out["predicted"][0, :2].tolist() == [0, 1]
    assert out["entropy"][0, 0] < 1e-6
    assert out["entropy"][0, 2].item() == pytest.approx(np.log(2), abs=1e-6)
    assert torch.isfinite(out["proba"]).all()


def test_batch_mates_change_no_bit(scorer):
    shape = SHAPES[3]
    block, together, alone = models(shape), outputs(shape), outputs(shape)
    scorer.score_softmax(**block, **together)
    for row in (1, 0):
        scorer.score_softmax(**block, **alone, rows=torch.tensor([row]))
    assert all(torch.equal(together[name], alone[name]) for name in together)


@pytest.mark.skipif(not kernels.available(), reason="numba is not installed")
@pytest.mark.parametrize("shape", SHAPES)
def test_tiles_change_no_bit(shape):
    scorer, block, plain, tiled = kernels.load("softmax_score"), models(shape), outputs(shape), outputs(shape)
    tiles = allocate_tiles(*shape[:3]).fill_(float("nan"))  # `write_tiles` leaves nothing of it
    for row in range(shape[0]):
        write_tiles(block["X"][row].numpy(), tiles[row].numpy())
    scorer.score_softmax(**block, **plain)
    scorer.score_softmax(**{**block, "X": tiles}, **tiled)
    assert all(torch.equal(plain[name], tiled[name]) for name in plain)
    y = torch.randint(0, shape[3], shape[:2], generator=torch.Generator().manual_seed(0))
    rest = [block[name] for name in ("n_items", "n_features", "seen", "W")]
    hits = scorer.class_hits_softmax(block["X"], y, *rest)
    assert hits.sum() > 0
    assert torch.equal(hits, scorer.class_hits_softmax(tiles, y, *rest))
