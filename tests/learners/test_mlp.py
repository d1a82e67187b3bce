"""The ensemble against autograd and torch's Adam, member by member."""

import numpy as np
import pytest
import torch
from learner_blocks import SHAPE, block, fitted, pool_accuracy
from torch import nn

from al_gym.errors import ParameterError
from al_gym.learners import make_learner
from al_gym.learners.mlp import MLP


def test_training_equals_autograd_with_the_adam_of_torch() -> None:
    learner = MLP(hidden=5, members=2, steps=20, lr=0.01, decay=0.01)
    arrays = block([(40, 6, 4, 18, 0)])
    arrays.seen[0, 3] = False  # a class without a label takes no part
    arrays.yL[0, arrays.yL[0] == 3] = 1
    state = learner.allocate(SHAPE, 1, torch.device("cpu"))
    learner.start(state, arrays, 0)
    start = {key: value.clone() for key, value in state.items()}
    learner.fit(state, arrays, torch.tensor([0]))
    X, y = arrays.XL[0, :18, :6].double(), arrays.yL[0, :18]
    expected = torch.zeros(4, 40, dtype=torch.float64)
    for member in range(2):
        part = slice(5 * member, 5 * member + 5)
        first, last = nn.Linear(6, 5).double(), nn.Linear(5, 3).double()
        with torch.no_grad():
            first.weight.copy_(start["W1"][0, part, :6])
            first.bias.zero_()
            last.weight.copy_(start["W2"][0, member, :3])
            last.bias.zero_()
        model = nn.Sequential(first, nn.ReLU(), last)
        optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(20):
            optimiser.zero_grad()
            penalty = first.weight.square().sum() + last.weight.square().sum()
            (nn.functional.cross_entropy(model(X), y) + 0.005 * penalty).backward()
            optimiser.step()
        np.testing.assert_allclose(state["W1"][0, part, :6], first.weight.detach(), atol=1e-4)
        expected[:3] += model(arrays.X[0, :40, :6].double()).softmax(1).detach().T / 2
    proba = learner.predict_proba(state, arrays, torch.tensor([0]), arrays.X)[0, :4, :40]
    np.testing.assert_allclose(proba, expected, atol=1e-4)


def test_embedding_is_the_hidden_layer_of_all_members() -> None:
    learner = MLP(hidden=4, members=3, steps=2)
    arrays = block([(40, 6, 4, 18, 0), (30, 3, 2, 5, 1)])
    state, rows = fitted(learner, arrays)
    phi = learner.embed(state, arrays, rows, arrays.X)
    assert phi.shape == (2, 48, 12)
    W1, b1 = state["W1"][1, :, :3], state["b1"][1, :, 0]
    expected = (arrays.X[1, :30, :3] @ W1.T + b1).clamp(min=0)
    torch.testing.assert_close(phi[1, :30], expected, atol=1e-5, rtol=1e-5)


def test_a_second_fit_goes_on_from_the_first() -> None:
    arrays = block([(40, 6, 4, 18, 0)])
    short = MLP(steps=10)
    state, rows = fitted(short, arrays)
    loss = []
    for _ in range(4):
        proba = short.predict_proba(state, arrays, rows, arrays.XL)
        loss.append(-float(proba[0].gather(0, arrays.yL[:1, :18]).log().mean()))
        short.fit(state, arrays, rows)
    assert loss[0] > 10 * loss[-1]


def test_first_weights_belong_to_the_task() -> None:
    arrays = block([(40, 6, 4, 18, 0), (40, 6, 4, 18, 0)])
    state, _ = fitted(MLP(steps=1), arrays)
    assert torch.equal(state["W1"][0], state["W1"][1])
    arrays.key[1] += 1
    state, _ = fitted(MLP(steps=1), arrays)
    assert not torch.allclose(state["W1"][0], state["W1"][1])


def test_learns_blobs() -> None:
    assert pool_accuracy(MLP(steps=100)) > 0.9


@pytest.mark.parametrize("bad", ["hidden=0", "members=0", "steps=1.5", "lr=0", "decay=-1", "lr=nan"])
def test_bad_parameters(bad: str) -> None:
    with pytest.raises(ParameterError, match=f"mlp: {bad.split('=')[0]}"):
        make_learner(f"mlp:{bad}")
