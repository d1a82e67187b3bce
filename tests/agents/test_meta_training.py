"""Meta-training: its methods on a problem with a known answer, and a run of the script, interrupted and resumed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from agents import maml as script
from agents.metalearning import METHODS, learn, meta_loss
from al_gym.errors import ResumeError, UnknownNameError
from al_gym.learners.maml import MAML
from al_gym.tasks.fewshot import SinusoidTasks

QUICK = ["--tasks", "synthetic-small", "--iterations", "12", "--hidden", "[8]", "--inputs", "6", "--steps", "3",
         "--batch", "6", "--pool-size", "60", "--holdout-size", "60", "--query", "20", "--most-labels",
         "20"]  # fmt: skip


def quadratic(weights: list[Tensor], X: Tensor, y: Tensor) -> Tensor:
    """(tasks,) half the squared distance of one number to the task's target; X is not used."""
    return 0.5 * (weights[0][:, 0, 0] - y[:, 0]).square()


@pytest.mark.parametrize(
    ("method", "factor"),
    [("maml", (1 - 0.4) ** 4), ("fomaml", (1 - 0.4) ** 2), ("reptile", 1 - (1 - 0.4) ** 2)],
)
def test_gradient_on_quadratics(method: str, factor: float) -> None:
    """Two steps of size 0.4 leave (1 - 0.4)^2 of the distance d: MAML's slope is (1 - 0.4)^4 d, first order has
    (1 - 0.4)^2 d, and Reptile's is the way gone."""
    value = torch.tensor([[1.0]], requires_grad=True)
    y = torch.tensor([[0.0], [3.0]])
    start = [value.expand(2, -1, -1)]
    both = (torch.zeros(2, 1, 1), y)
    loss, judged = meta_loss(method, start, torch.full((2, 1), 0.4), quadratic, both, both)
    (slope,) = torch.autograd.grad(loss, [value])
    assert slope.item() == pytest.approx(factor * (1.0 - 1.5), abs=1e-6)
    assert judged.tolist() == pytest.approx([0.5 * 0.36**2, 0.5 * (2 * 0.36) ** 2], abs=1e-6)


def test_unknown_method() -> None:
    with pytest.raises(UnknownNameError, match="fomaml"):
        meta_loss("fomalm", [], torch.zeros(1, 1), quadratic, (torch.zeros(1),) * 2, (torch.zeros(1),) * 2)


def sinusoid_error(method: str, iterations: int) -> float:
    """Error on new sinusoids after three steps on 10 points, of a small network meta-trained for that."""
    from al_gym.learners.adaptation import adapt, forward

    tasks = SinusoidTasks()
    generator = torch.Generator().manual_seed(0)
    shapes = ((24, 1), (24, 1), (1, 24), (1, 1))
    parameters = {str(i): torch.randn(*s, generator=generator) * 0.5 for i, s in enumerate(shapes)}
    for value in parameters.values():
        value.requires_grad_()
    rates = torch.full((3, 4), 0.02)

    def loss(weights: list[Tensor], X: Tensor, y: Tensor) -> Tensor:
        return (forward(weights, X)[:, 0] - y).square().mean(dim=1)

    def sample(seed: list[int], n: int) -> tuple[list[Tensor], tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        rng = np.random.default_rng(seed)
        x, y = map(torch.from_numpy, tasks.points(rng, tasks.sample(rng, n), 20))
        start = [value.expand(n, -1, -1) for value in parameters.values()]
        return start, (x[:, :10], y[:, :10]), (x[:, 10:], y[:, 10:])

    def step(iteration: int) -> Tensor:
        start, support, query = sample([0, iteration], 20)
        return meta_loss(method, start, rates, loss, support, query)[0]

    learn(parameters, step, iterations=iterations, learning_rate=0.01)
    start, support, query = sample([1], 200)
    adapted = adapt(start, lambda w: loss(w, *support).sum(), rates)
    return loss(adapted, *query).mean().item()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_to_learn_sinusoids(method: str) -> None:
    iterations = 1500 if method == "reptile" else 400  # without the gradient of the query points it learns more slowly
    assert sinusoid_error(method, iterations) < 0.75 * sinusoid_error(method, 1)


def test_a_run_writes_weights_that_the_learner_reads(tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    result = script.main([*QUICK, "--out", str(out)])
    card = json.loads(out.with_suffix(".json").read_text())
    assert card["held_out"] == result
    assert card["arguments"]["hidden"] == [8]
    learner = MAML(weights=str(out))
    assert learner.start.inputs == 6
    assert learner.rates.shape == (3, 4)


def test_an_interrupted_run_ends_as_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parted = tmp_path / "whole.safetensors", tmp_path / "parted.safetensors"

    def often(*args: object, **kwargs: object) -> None:
        learn(*args, **kwargs, every=5)  # type: ignore[arg-type]

    monkeypatch.setattr(script, "learn", often)
    script.main([*QUICK, "--out", str(whole)])
    draw, calls = script.draw, []

    def killed(*args: object) -> object:
        calls.append(1)
        if len(calls) > 20:
            raise KeyboardInterrupt
        return draw(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(script, "draw", killed)
    with pytest.raises(KeyboardInterrupt):
        script.main([*QUICK, "--out", str(parted)])
    assert not parted.exists()
    checkpoint = torch.load(parted.with_suffix(".checkpoint"), weights_only=True)
    assert 0 < checkpoint["done"] < 12
    monkeypatch.setattr(script, "draw", draw)
    script.main([*QUICK, "--out", str(parted), "--resume"])
    expected, found = load_file(whole), load_file(parted)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    with pytest.raises(ResumeError, match="12 iterations"):
        script.main([*QUICK, "--iterations", "13", "--out", str(parted), "--resume"])


def test_defaults_are_those_of_the_configuration() -> None:
    import yaml

    assert script.Arguments(**yaml.safe_load(script.CONFIG.read_text())) == script.Arguments()


def test_unknown_key_in_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("itrations: 3\n")
    with pytest.raises(UnknownNameError, match="iterations"):
        script.main(["--config", str(config), "--out", str(tmp_path / "w.safetensors")])
