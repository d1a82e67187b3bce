"""The sinusoid regression of Finn, Abbeel & Levine 2017 (section 5.1): a check of the meta-learning code.

    python benchmarks/sinusoids.py run      # benchmarks/results/sinusoids.json
    python benchmarks/sinusoids.py draw     # docs/images/sinusoids.png

As there: a network 1-40-40-1 with rectifiers, mean squared error, meta-trained for ONE inner step of size 0.01 on K
points, 25 tasks an iteration, Adam at 0.001; judged after 0 to 10 steps. Differences: fewer iterations than 70,000, and
a learning rate that falls to zero. The rival is the same network trained on points of all tasks together, fine-tuned
with the best of six step sizes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from agents.metalearning import learn, meta_loss  # noqa: E402
from al_gym.evaluation.summary import package_versions  # noqa: E402
from al_gym.learners.adaptation import adapt, forward  # noqa: E402
from al_gym.tasks.fewshot import SinusoidTasks  # noqa: E402
from al_gym.threads import pin_threads  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "sinusoids.json"
PICTURE = ROOT / "docs" / "images" / "sinusoids.png"
WIDTHS = (1, 40, 40, 1)
RATE, BATCH, STEPS = 0.01, 25, 10
SHOTS = (5, 10)
RIVAL_RATES = (0.001, 0.003, 0.01, 0.02, 0.05, 0.1)
TASKS = SinusoidTasks()


def first_parameters(seed: int) -> dict[str, Tensor]:
    """He initialisation of the network, as leaves."""
    generator, parameters = torch.Generator().manual_seed(seed), {}
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(WIDTHS)):
        parameters[f"{layer}.weight"] = torch.randn(outputs, inputs, generator=generator) * (2 / inputs) ** 0.5
        parameters[f"{layer}.bias"] = torch.zeros(outputs, 1)
    return {name: value.requires_grad_() for name, value in parameters.items()}


def squared_error(weights: Sequence[Tensor], X: Tensor, y: Tensor) -> Tensor:
    """(tasks,) mean squared error."""
    return (forward(weights, X)[:, 0] - y).square().mean(dim=1)


def spread(parameters: dict[str, Tensor], tasks: int) -> list[Tensor]:
    """The same first weights for every task."""
    return [value.expand(tasks, -1, -1) for value in parameters.values()]


def sample(rng: np.random.Generator, tasks: int, items: int) -> tuple[Tensor, Tensor]:
    """X (tasks, items, 1) and y (tasks, items) of new tasks."""
    x, y = TASKS.points(rng, TASKS.sample(rng, tasks), items)
    return torch.from_numpy(x), torch.from_numpy(y)


def train(method: str, shots: int, iterations: int) -> dict[str, Tensor]:
    """Meta-learn with one inner step, or fit all tasks together (`pretrained`)."""
    parameters = first_parameters(0)
    rates = torch.full((1, len(parameters)), RATE)

    def step(iteration: int) -> Tensor:
        x, y = sample(np.random.default_rng([shots, iteration]), BATCH, 2 * shots)
        start = spread(parameters, BATCH)
        if method == "pretrained":
            return squared_error(start, x, y).mean()
        support, query = (x[:, :shots], y[:, :shots]), (x[:, shots:], y[:, shots:])
        return meta_loss(method, start, rates, squared_error, support, query)[0]

    learn(parameters, step, iterations=iterations, learning_rate=1e-3)
    return parameters


def error_curve(
    parameters: dict[str, Tensor], shots: int, rate: float, tasks: int, seed: int
) -> dict[str, list[float]]:
    """Mean squared error on 100 points after 0, 1, ..., 10 steps on `shots` points; mean and 95 % half width."""
    x, y = sample(np.random.default_rng([seed, shots]), tasks, shots + 100)
    support = (x[:, :shots], y[:, :shots])
    rates, weights = torch.full((1, len(parameters)), rate), spread(parameters, tasks)
    errors = []
    for step in range(STEPS + 1):
        if step:
            weights = adapt(weights, lambda w: squared_error(w, *support).sum(), rates)
            weights = [value.detach().requires_grad_() for value in weights]
        errors.append(squared_error(weights, x[:, shots:], y[:, shots:]).detach())
    stacked = torch.stack(errors)
    half = 1.96 * stacked.std(dim=1) / tasks**0.5
    return {
        "mse": [round(v, 4) for v in stacked.mean(dim=1).tolist()],
        "half_width": [round(v, 4) for v in half.tolist()],
    }


def run(iterations: int, tasks: int) -> None:
    """Train and judge every method; the rival's step size is chosen on other tasks than it is judged on."""
    result: dict[str, Any] = {
        "iterations": iterations,
        "tasks": tasks,
        "curves": {},
        "versions": package_versions(("numpy", "torch")),
    }
    for shots in SHOTS:
        for method in ("maml", "fomaml", "pretrained"):
            parameters, rate = train(method, shots, iterations), RATE
            if method == "pretrained":
                final = {r: error_curve(parameters, shots, r, tasks, seed=1)["mse"][-1] for r in RIVAL_RATES}
                rate = min(final, key=lambda r: final[r] if np.isfinite(final[r]) else np.inf)
            entry = {"step_size": rate} | error_curve(parameters, shots, rate, tasks, seed=2)
            result["curves"][f"{method}-{shots}"] = entry
            sys.stdout.write(f"{method} K={shots} step size {rate}: {entry['mse']}\n")
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


def draw(result: dict[str, Any], path: Path) -> None:
    """Error against steps, one panel a number of shots."""
    figure, panels = plt.subplots(1, len(SHOTS), figsize=(9, 3.6), sharey=True, layout="constrained")
    for axes, shots in zip(panels, SHOTS, strict=True):
        for method, label in {
            "maml": "MAML",
            "fomaml": "first order",
            "pretrained": "pre-trained on all tasks",
        }.items():
            curve = result["curves"][f"{method}-{shots}"]
            mean, half = np.array(curve["mse"]), np.array(curve["half_width"])
            (line,) = axes.plot(range(STEPS + 1), mean, marker=".", label=label)
            axes.fill_between(
                range(STEPS + 1), mean - half, mean + half, color=line.get_color(), alpha=0.2, linewidth=0
            )
        axes.set(xlabel="gradient steps", title=f"K = {shots} points", ylim=(0, None))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("mean squared error")
    panels[0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """One of the two steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["run", "draw"])
    parser.add_argument("--iterations", type=int, default=20_000)
    parser.add_argument("--tasks", type=int, default=1000, help="tasks to judge on")
    arguments = parser.parse_args()
    pin_threads()
    if arguments.step == "run":
        run(arguments.iterations, arguments.tasks)
    else:
        draw(json.loads(RESULT.read_text()), PICTURE)


if __name__ == "__main__":
    main()
