"""Networks behind the protocol: torch, and Lightning where it is installed."""

from __future__ import annotations

import copy
import pickle
import sys

import pytest
import torch
from learner_blocks import block, fitted, pool_accuracy, probabilities, reveal
from torch import Tensor, nn

from al_gym.errors import LearnerError, MissingExtraError, ParameterError
from al_gym.learners import make_learner
from al_gym.learners.torch_module import TorchLearner, penultimate, small_network

TASKS = [(40, 6, 4, 18, 0), (30, 3, 3, 9, 1)]


def convolution(features: int, classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, (2, 1)), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(8, classes)
    )


class Tokens(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 5)
        self.head = nn.Linear(5, classes)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.table(ids).mean(1))


def test_learns_blobs() -> None:
    assert pool_accuracy(TorchLearner(), seeds=1) > 0.9
    assert pool_accuracy(TorchLearner(validation_share=0.3), seeds=1) > 0.8


def test_probabilities_and_embedding_are_those_of_the_network() -> None:
    learner, arrays = TorchLearner(epochs=3), block(TASKS)
    state, rows = fitted(learner, arrays)
    model = state["module"][1]
    hidden = model[:2](arrays.X[1, :30, :3]).detach()
    torch.testing.assert_close(learner.embed(state, arrays, rows, arrays.X)[1, :30], hidden)
    proba = learner.predict_proba(state, arrays, rows, arrays.X)
    torch.testing.assert_close(proba[1, :3, :30].T, model[2](hidden).softmax(1).detach())


def test_images_get_their_shape_back() -> None:
    learner = TorchLearner(module=convolution, input_shape=(2, 2, 2), epochs=2, batch_size=4)
    with pytest.raises(LearnerError, match=r"items of 6 features do not have the input_shape \(2, 2, 2\)"):
        probabilities(learner, block(TASKS))
    arrays = block([(40, 8, 4, 17, 0)])
    state, rows = fitted(learner, arrays)
    logits = state["module"][0].eval()(arrays.X[0].reshape(48, 2, 2, 2))
    torch.testing.assert_close(
        learner.predict_proba(state, arrays, rows, arrays.X)[0, :4].T, logits.softmax(1).detach()
    )
    assert learner.embed(state, arrays, rows, arrays.X).shape == (1, 48, 8)


def test_token_ids_are_integers() -> None:
    arrays = block([(40, 6, 2, 0, 0)])
    arrays.X[0, :40, :6] = torch.arange(40 * 6).reshape(40, 6) % 10
    reveal(arrays, 0, list(range(10)), [0, 1] * 5)
    proba = probabilities(TorchLearner(module=lambda _, classes: Tokens(classes), integer=True, epochs=2), arrays)
    torch.testing.assert_close(proba[0, :2, :40].sum(0), torch.ones(40))


def test_warm_start_goes_on_and_from_scratch_does_not() -> None:
    arrays = block([TASKS[0]])
    warm, cold = TorchLearner(warm_start=True, epochs=2), TorchLearner(epochs=2)
    for learner in (warm, cold):
        state, rows = fitted(learner, arrays)
        first = copy.deepcopy(state["module"][0][0].weight)
        learner.fit(state, arrays, rows)
        assert torch.equal(state["module"][0][0].weight, first) == (learner is cold)


def count_steps(learner: TorchLearner, monkeypatch: pytest.MonkeyPatch) -> int:
    steps = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: (steps.append(1), step(self))[1])
    fitted(learner, block([TASKS[0]]))
    monkeypatch.undo()
    return len(steps)


def test_early_stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_steps(TorchLearner(epochs=40, patience=40), monkeypatch) == 40
    assert count_steps(TorchLearner(epochs=40, batch_size=9), monkeypatch) == 80
    assert count_steps(TorchLearner(epochs=40, lr=1e-9, patience=3), monkeypatch) == 4
    assert count_steps(TorchLearner(epochs=40, lr=1e-9, patience=3, validation_share=0.3), monkeypatch) == 4


def test_the_best_network_on_the_held_out_labels_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch that ruins the network must leave no trace."""
    epochs = []

    def epoch(self: TorchLearner, model: nn.Module, *rest: object) -> float:
        epochs.append(1)
        with torch.no_grad():
            model[0].weight.fill_(0.0 if len(epochs) == 1 else 100.0 * len(epochs))
        return 0.0

    monkeypatch.setattr(TorchLearner, "_epoch", epoch)
    state, _ = fitted(TorchLearner(epochs=5, validation_share=0.4), block([TASKS[0]]))
    assert len(epochs) == 5
    assert (state["module"][0][0].weight == 0).all()


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    probabilities(TorchLearner(epochs=1), block(TASKS))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_without_a_linear_layer_has_no_representation() -> None:
    with pytest.raises(LearnerError, match=r"ReLU runs no nn\.Linear"):
        penultimate(nn.ReLU(), torch.zeros(2, 3))


def test_wrong_number_of_logits() -> None:
    class_blind = TorchLearner(module=lambda features, _: nn.Linear(features, 4), epochs=1)
    with pytest.raises(LearnerError, match=r"returned \(48, 4\); it must return one logit .* 3 classes"):
        probabilities(class_blind, block([(30, 3, 3, 1, 1)]))


@pytest.mark.parametrize(
    "bad",
    ["epochs=0", "batch_size=1", "patience=0", "lr=0", "weight_decay=-1", "validation_share=1", "device=abacus"],
)
def test_bad_parameters(bad: str) -> None:
    with pytest.raises(ParameterError, match=f"torch: {bad.split('=')[0]}"):
        make_learner(f"torch:{bad}")


def test_an_instance_is_no_factory() -> None:
    with pytest.raises(ParameterError, match="module must be a function"):
        TorchLearner(module=small_network(3, 2))


# --- lightning -------------------------------------------------------------------------------------------------------


def test_without_lightning_the_error_has_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning", None)
    monkeypatch.delitem(sys.modules, "al_gym.integrations.lightning_network", raising=False)
    with pytest.raises(MissingExtraError, match=r'pip install "al-gym\[lightning\]"'):
        make_learner("lightning")


def test_lightning_module_is_trained_and_pickled() -> None:
    pytest.importorskip("lightning")
    learner, arrays = make_learner("lightning:epochs=40"), block([TASKS[0], (20, 3, 2, 1, 4)])
    before = torch.get_rng_state()
    state, rows = fitted(learner, arrays)
    assert torch.equal(torch.get_rng_state(), before)
    proba = learner.predict_proba(state, arrays, rows, arrays.X)
    hits = proba[0, :4, :18].argmax(0) == arrays.yL[0, :18]
    assert hits.float().mean() > 0.9
    assert (proba[1, 0] == 1).all()
    model = state["module"][0].eval()
    torch.testing.assert_close(proba[0, :4, :40].T, model(arrays.X[0, :40, :6]).softmax(1).detach())
    other = pickle.loads(pickle.dumps(state))
    torch.testing.assert_close(learner.predict_proba(other, arrays, rows, arrays.X), proba)
    assert learner.embed(state, arrays, rows, arrays.X).shape == (2, 48, 64)


def test_lightning_callbacks_are_copied_for_each_fit() -> None:
    pytest.importorskip("lightning")
    from lightning import Callback

    from al_gym.learners.lightning_module import LightningLearner

    epochs: list[int] = []

    class StopAfterTwo(Callback):
        def __init__(self) -> None:
            self.seen = 0

        def on_train_epoch_end(self, trainer, module) -> None:
            self.seen += 1
            epochs.append(self.seen)
            trainer.should_stop = self.seen == 2

    callback = StopAfterTwo()
    fitted(LightningLearner(epochs=9, callbacks=[callback]), block(TASKS))
    assert epochs == [1, 2, 1, 2]
    assert callback.seen == 0
