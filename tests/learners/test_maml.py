"""The meta-learned network: its inner loop, its projection, and what its weights buy."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from learner_blocks import SHAPE, block, fitted, pool_accuracy, probabilities
from safetensors.torch import load_file, save_file
from torch import nn

import al_gym
from al_gym.errors import LearnerError, ParameterError, ResumeError
from al_gym.learners import make_learner
from al_gym.learners.adaptation import adapt, class_loss, forward
from al_gym.learners.maml import MAML, SHIPPED, read_initialisation
from al_gym.learners.projection import fit_projection

TASKS = [(40, 6, 4, 18, 0), (30, 3, 3, 9, 1)]


def test_a_fit_is_gradient_descent_from_the_shipped_weights() -> None:
    learner = MAML(steps=12, lr=0.07)
    arrays = block(TASKS)
    state, rows = fitted(learner, arrays)
    proba = learner.predict_proba(state, arrays, rows, arrays.X)
    start = read_initialisation(SHIPPED)
    for row, (n, d, classes, labels, _) in enumerate(TASKS):
        projection = fit_projection(arrays.X[row, :n, :d], start.inputs, start.whitening)
        Z = ((arrays.X[row, :n, :d] - projection.mean) @ projection.matrix).double()
        layers: list[nn.Module] = []
        for weight, bias in zip(start.layers[::2], start.layers[1::2], strict=True):
            layer = nn.Linear(weight.shape[1], weight.shape[0]).double()
            layer.load_state_dict({"weight": weight, "bias": bias[:, 0]})
            layers += [layer, nn.ReLU()]
        head = nn.Linear(start.width, classes).double()
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        model = nn.Sequential(*layers, head)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.07)
        for _ in range(12):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(Z[:labels]), arrays.yL[row, :labels]).backward()
            optimiser.step()
        expected = model(Z).softmax(1).detach().T
        np.testing.assert_allclose(proba[row, :classes, :n], expected, atol=1e-4)


def test_the_gradient_of_the_adapted_loss_is_that_of_finite_differences() -> None:
    """Second order: through three inner steps of a network of two layers, in float64."""
    generator = torch.Generator().manual_seed(0)
    X, Q = (torch.randn(2, n, 3, generator=generator, dtype=torch.float64) for n in (6, 5))
    y, asked = torch.randint(3, (2, 6), generator=generator), torch.randint(3, (2, 5), generator=generator)
    unseen = torch.zeros(2, 3, dtype=torch.bool)
    rates = torch.full((3, 4), 0.3, dtype=torch.float64)
    first = [torch.randn(*s, generator=generator, dtype=torch.float64) for s in ((4, 3), (4, 1), (3, 4), (3, 1))]

    def outer(values: list[torch.Tensor], second_order: bool) -> torch.Tensor:
        start = [value.expand(2, -1, -1) for value in values]
        adapted = adapt(start, lambda w: class_loss(w, X, y, unseen).sum(), rates, second_order=second_order)
        return class_loss(adapted, Q, asked, unseen).sum()

    def slopes(second_order: bool) -> torch.Tensor:
        leaves = [value.clone().requires_grad_() for value in first]
        return torch.autograd.grad(outer(leaves, second_order), leaves)[0]

    estimate = torch.zeros_like(first[0])
    for i in range(4):
        for j in range(3):
            ends = []
            for sign in (1, -1):
                moved = [value.clone() for value in first]
                moved[0][i, j] += sign * 1e-5
                ends.append(outer([value.requires_grad_() for value in moved], second_order=False).item())
            estimate[i, j] = (ends[0] - ends[1]) / 2e-5
    torch.testing.assert_close(slopes(second_order=True), estimate, atol=1e-7, rtol=1e-5)
    assert not torch.allclose(slopes(second_order=False), estimate, atol=1e-3)


def test_projection_keeps_distances_where_nothing_is_whitened() -> None:
    X = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 7)) * np.arange(1, 8)).float() + 100
    projection = fit_projection(X, 16, 0.0)
    Z = (X - projection.mean) @ projection.matrix
    ratio = torch.cdist(Z, Z) / torch.cdist(X, X).clamp(min=1e-6)
    off = ~torch.eye(50, dtype=torch.bool)
    torch.testing.assert_close(ratio[off], ratio[0, 1].expand(int(off.sum())), rtol=1e-3, atol=0)
    assert math.isclose(float(Z.square().sum(1).mean()), 16, rel_tol=1e-4)
    assert (Z[:, 7:] == 0).all()
    assert torch.equal(Z.var(0)[:7].sort(descending=True).values, Z.var(0)[:7])


def test_projection_whitens_and_drops_directions_without_variance() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)) * [1, 10, 100]
    X = torch.from_numpy(np.concatenate([X, X[:, :1] + X[:, 1:2], np.full((60, 1), 3.0)], axis=1)).float()
    projection = fit_projection(X, 8, 1.0)
    Z = (X - projection.mean) @ projection.matrix
    torch.testing.assert_close((Z.mT @ Z / 60)[:3, :3], torch.eye(3) * 8 / 3, atol=1e-2, rtol=1e-2)
    assert (projection.matrix[:, 3:] == 0).all()
    assert (fit_projection(torch.ones(5, 2), 8, 0.2).matrix == 0).all()


def test_more_features_than_items_or_columns() -> None:
    X = torch.from_numpy(np.random.default_rng(0).normal(size=(10, 90))).float()
    projection = fit_projection(X, 64, 0.2)
    assert projection.matrix.shape == (90, 64)
    assert int((projection.matrix != 0).any(0).sum()) == 9


def test_the_start_prefers_no_class() -> None:
    """Without a step every class seen is equally probable; names of classes do not matter."""
    learner, arrays = MAML(lr=1e-30), block(TASKS)
    proba = probabilities(learner, arrays)
    torch.testing.assert_close(proba[0, :4, :40], torch.full((4, 40), 0.25))
    arrays = block(TASKS[:1])
    expected = probabilities(MAML(), arrays)[0, :4]
    arrays.yL[0, :18] = 3 - arrays.yL[0, :18]
    torch.testing.assert_close(probabilities(MAML(), arrays)[0, :4], expected.flip(0), atol=1e-5, rtol=0)


def test_meta_learned_weights_beat_random_ones_in_as_many_steps() -> None:
    shipped, random = (
        np.mean([pool_accuracy(make_learner(spec), labels=labels, seeds=8) for labels in (4, 8, 12)])
        for spec in ("maml", "maml:weights=random,lr=0.3,steps=10")
    )
    assert shipped > 0.85
    assert shipped > random


def test_random_weights_belong_to_the_task() -> None:
    arrays = block([TASKS[0], TASKS[0]])
    proba = probabilities(MAML(weights="random"), arrays)
    assert torch.equal(proba[0], proba[1])
    arrays.key[1] += 1
    proba = probabilities(MAML(weights="random"), arrays)
    assert not torch.allclose(proba[0], proba[1])


def test_the_representation_is_the_hidden_layer() -> None:
    learner, arrays = MAML(), block(TASKS)
    state, rows = fitted(learner, arrays)
    phi = learner.embed(state, arrays, rows, arrays.X)
    logits = torch.baddbmm(state["w3"], state["w2"], phi.mT)
    masked = logits.masked_fill(~arrays.seen[:, :, None], -torch.inf)
    torch.testing.assert_close(masked.softmax(1), learner.predict_proba(state, arrays, rows, arrays.X))
    assert phi.shape == (2, SHAPE.items, learner.start.width)


def test_further_steps_go_on_with_the_last_step_size() -> None:
    learned = read_initialisation(SHIPPED).rates
    rates = MAML(steps=len(learned) + 3).rates
    assert torch.equal(rates[: len(learned)], learned)
    assert torch.equal(rates[len(learned) :], learned[-1:].expand(3, -1))
    assert torch.equal(MAML(steps=2).rates, learned[:2])


def test_shipped_weights_come_with_their_arguments_and_figures() -> None:
    card = json.loads(SHIPPED.with_suffix(".json").read_text())
    assert card["arguments"]["method"] == "maml"
    assert card["arguments"]["tasks"] == "default"
    assert 0.5 < card["held_out"]["10"]["accuracy"] < card["held_out"]["100"]["accuracy"] < 1
    assert SHIPPED.stat().st_size < 200_000


def test_forward_rectifies_between_layers() -> None:
    weights = [torch.tensor([[[-1.0]]]), torch.tensor([[[0.5]]]), torch.tensor([[[2.0]]]), torch.tensor([[[3.0]]])]
    assert forward(weights, torch.tensor([[[0.0], [2.0]]])).tolist() == [[[4.0, 3.0]]]


def test_broken_weights(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(LearnerError, match=r"cannot read .*agents/maml\.py"):
        MAML(weights=str(path))
    card = json.loads(SHIPPED.with_suffix(".json").read_text())
    path.write_bytes(SHIPPED.read_bytes())
    path.with_suffix(".json").write_text(json.dumps(card | {"layers": 2}))
    with pytest.raises(LearnerError, match=r"1\.weight"):
        MAML(weights=str(path))
    path.with_suffix(".json").write_text(json.dumps(card | {"layers": 0}))
    with pytest.raises(LearnerError, match="do not fit"):
        MAML(weights=str(path))


@pytest.mark.parametrize("bad", ["steps=-1", "steps=1.5", "lr=-1", "lr=nan"])
def test_bad_parameters(bad: str) -> None:
    with pytest.raises(ParameterError, match=f"maml: {bad.split('=')[0]}"):
        make_learner(f"maml:{bad}")


def test_an_evaluation_does_not_mix_two_sets_of_weights(tmp_path: Path) -> None:
    """Retrained weights under the same path are refused by a folder that holds results of the old ones."""
    weights = tmp_path / "maml.safetensors"
    for suffix in (".safetensors", ".json"):
        weights.with_suffix(suffix).write_bytes(SHIPPED.with_suffix(suffix).read_bytes())
    given = {"tasks": "bundled", "seeds": 1, "rounds": 1, "learner": f"maml:weights={weights}", "jobs": 1}
    al_gym.evaluate(["random"], datasets=["iris"], out=tmp_path / "out", **given)
    al_gym.evaluate(["random"], datasets=["iris"], out=tmp_path / "out", **given)
    tensors = load_file(weights)
    save_file({name: value * 1.01 for name, value in tensors.items()}, weights)
    read_initialisation.cache_clear()
    with pytest.raises(ResumeError, match=r"learner\.digest"):
        al_gym.evaluate(["random"], datasets=["iris"], out=tmp_path / "out", **given)
