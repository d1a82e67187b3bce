"""Meta-learn the first weights and the step sizes of the learner `maml`.

python -m agents.maml                                  # rewrites al_gym/learners/maml_weights.safetensors and .json
python -m agents.maml --method fomaml --out runs/fomaml/maml.safetensors
python -m agents.maml --out runs/maml/maml.safetensors --resume

Tasks are drawn from the training part of a synthetic suite; the figures in the card are on its validation part.
Hyper-parameters are in agents/configs/maml.yaml, and each of them is a flag too. Nothing real is touched.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from rich.console import Console
from safetensors.torch import save
from torch import Tensor

from agents.metalearning import learn, meta_loss
from al_gym.errors import ParameterError
from al_gym.evaluation.summary import package_versions
from al_gym.learners.adaptation import adapt, class_loss, forward
from al_gym.learners.maml import SHIPPED
from al_gym.learners.projection import fit_projection
from al_gym.registry import call_with
from al_gym.tasks.load import load_tasks
from al_gym.tasks.task import make_task
from al_gym.threads import pin_threads

CONFIG = Path(__file__).parent / "configs" / "maml.yaml"

console = Console()


@dataclass(frozen=True)
class Arguments:
    """Everything that fixes a run; agents/configs/maml.yaml says what the fields mean."""

    tasks: str = "default"
    method: str = "maml"
    inputs: int = 64
    hidden: list[int] = field(default_factory=lambda: [128])
    whitening: float = 0.2
    steps: int = 10
    first_rate: float = 0.1
    batch: int = 16
    iterations: int = 4000
    learning_rate: float = 0.002
    least_labels: int = 4
    most_labels: int = 200
    pool_size: int = 500
    holdout_size: int = 500
    query: int = 128
    seed: int = 0


@dataclass(frozen=True)
class Material:
    """One dataset, split and projected: Z (items, inputs) float32 and y (items,) of pool and holdout."""

    pool: NDArray[np.float32]
    pool_labels: NDArray[np.int64]
    holdout: NDArray[np.float32]
    holdout_labels: NDArray[np.int64]


@dataclass(frozen=True)
class Episodes:
    """A batch of tasks: X (tasks, n, inputs), y (tasks, n) or -1; unseen (tasks, classes) bool."""

    support: tuple[Tensor, Tensor]
    query: tuple[Tensor, Tensor]
    unseen: Tensor


def load_material(arguments: Arguments, part: str) -> list[Material]:
    """Every dataset of a part of the suite, on its own projection."""
    result = []
    tasks = load_tasks(arguments.tasks, part)
    for dataset in tasks:
        task = make_task(dataset, arguments.seed, pool_size=arguments.pool_size, validation_size=arguments.holdout_size)
        pool, holdout, labels = task.arrays()
        projection = fit_projection(torch.from_numpy(pool), arguments.inputs, arguments.whitening)
        matrix, mean = projection.matrix.numpy(), projection.mean.numpy()
        result.append(Material((pool - mean) @ matrix, task.oracle_labels, (holdout - mean) @ matrix, labels))
    return result


def draw(material: Sequence[Material], rng: np.random.Generator, labels: int, query: int) -> Episodes:
    """A support set of one item a class and `labels` at random, and query items of the classes in it.

    The sign of a principal component means nothing, so it is drawn anew for each task.
    """
    n_classes = max(int(m.pool_labels.max()) + 1 for m in material)
    rows = []
    for m in material:
        order = rng.permutation(len(m.pool))
        first = order[np.unique(m.pool_labels[order], return_index=True)[1]]
        chosen = np.concatenate([first, np.setdiff1d(order, first, assume_unique=True)[:labels]])
        known = np.flatnonzero(np.isin(m.holdout_labels, m.pool_labels[chosen]))
        asked = rng.permutation(known)[:query]
        sign = rng.choice(np.array([-1, 1], np.float32), size=m.pool.shape[1])
        rows.append((m.pool[chosen] * sign, m.pool_labels[chosen], m.holdout[asked] * sign, m.holdout_labels[asked]))
    unseen = torch.ones(len(rows), n_classes, dtype=torch.bool)
    for i, (_, y, _, _) in enumerate(rows):
        unseen[i, torch.from_numpy(y)] = False
    support, query_part = (_stack([row[j : j + 2] for row in rows]) for j in (0, 2))
    return Episodes(support, query_part, unseen)


def _stack(pairs: Sequence[tuple[Any, ...]]) -> tuple[Tensor, Tensor]:
    most = max(len(y) for _, y in pairs)
    X = torch.zeros(len(pairs), most, pairs[0][0].shape[1])
    labels = torch.full((len(pairs), most), -1)
    for i, (x, y) in enumerate(pairs):
        X[i, : len(y)], labels[i, : len(y)] = torch.from_numpy(x), torch.from_numpy(y)
    return X, labels


def first_parameters(arguments: Arguments) -> dict[str, Tensor]:
    """He initialisation and equal step sizes, as the leaves that meta-learning moves."""
    generator = torch.Generator().manual_seed(arguments.seed)
    parameters, inputs = {}, arguments.inputs
    for layer, width in enumerate(arguments.hidden):
        parameters[f"{layer}.weight"] = torch.randn(width, inputs, generator=generator) * (2 / inputs) ** 0.5
        parameters[f"{layer}.bias"] = torch.zeros(width, 1)
        inputs = width
    tensors = len(parameters) + 2
    parameters["log_rates"] = torch.full((arguments.steps, tensors), float(np.log(arguments.first_rate)))
    return {name: value.requires_grad_() for name, value in parameters.items()}


def start_weights(parameters: dict[str, Tensor], tasks: int, classes: int) -> list[Tensor]:
    """The first weights of each task, connected to the parameters; the last layer is zero."""
    layers = [value.expand(tasks, -1, -1) for name, value in parameters.items() if name != "log_rates"]
    width = layers[-2].shape[1]
    return [
        *layers,
        torch.zeros(tasks, classes, width, requires_grad=True),
        torch.zeros(tasks, classes, 1).requires_grad_(),
    ]


def episode_loss(parameters: dict[str, Tensor], episodes: Episodes, method: str) -> tuple[Tensor, Tensor]:
    """See `meta_loss`."""
    tasks, classes = episodes.unseen.shape
    start = start_weights(parameters, tasks, classes)

    def loss(weights: Sequence[Tensor], X: Tensor, y: Tensor) -> Tensor:
        return class_loss(weights, X, y, episodes.unseen)

    return meta_loss(method, start, parameters["log_rates"].exp(), loss, episodes.support, episodes.query)


def judge(
    parameters: dict[str, Tensor],
    material: Sequence[Material],
    arguments: Arguments,
    labels: Sequence[int] = (10, 30, 100),
) -> dict[str, dict[str, float]]:
    """Mean log-loss and accuracy on held-out tasks, by number of labels beside one of each class."""
    rates, result = parameters["log_rates"].detach().exp(), {}
    for number in labels:
        rng = np.random.default_rng([arguments.seed, number])
        losses, hits = [], []
        for begin in range(0, len(material), arguments.batch):
            episodes = draw(material[begin : begin + arguments.batch], rng, number, arguments.holdout_size)
            start = start_weights(parameters, *episodes.unseen.shape)
            unseen = episodes.unseen
            adapted = adapt(start, lambda w: class_loss(w, *episodes.support, unseen).sum(), rates)  # noqa: B023
            X, y = episodes.query
            losses += class_loss(adapted, X, y, unseen).tolist()
            guess = forward(adapted, X).masked_fill(unseen[:, :, None], -torch.inf).argmax(dim=1)
            hits += ((guess == y).sum(dim=1) / (y >= 0).sum(dim=1)).tolist()
        result[str(number)] = {"log_loss": round(float(np.mean(losses)), 4), "accuracy": round(float(np.mean(hits)), 4)}
    return result


def train(arguments: Arguments, checkpoint: Path) -> tuple[dict[str, Tensor], dict[str, dict[str, float]]]:
    """Meta-learn; returns the parameters and how they do on validation tasks."""
    material, valid = load_material(arguments, "train"), load_material(arguments, "valid")
    console.print(f"{len(material)} datasets to train on, {len(valid)} to validate on")
    parameters = first_parameters(arguments)

    def step(iteration: int) -> Tensor:
        rng = np.random.default_rng([arguments.seed, 1, iteration])
        low, high = np.log(arguments.least_labels), np.log(arguments.most_labels)
        labels = int(np.exp(rng.uniform(low, high)))
        chosen = [material[i] for i in rng.choice(len(material), arguments.batch, replace=False)]
        return episode_loss(parameters, draw(chosen, rng, labels, arguments.query), arguments.method)[0]

    def report(done: int) -> None:
        console.print(done, judge(parameters, valid, arguments))

    learn(
        parameters,
        step,
        iterations=arguments.iterations,
        learning_rate=arguments.learning_rate,
        checkpoint=checkpoint,
        report=report,
    )
    return parameters, judge(parameters, valid, arguments)


def write(parameters: dict[str, Tensor], held_out: dict[str, Any], arguments: Arguments, path: Path) -> None:
    """Weights as safetensors, the card as JSON beside them."""
    tensors = {name: value.detach().clone() for name, value in parameters.items() if name != "log_rates"}
    tensors["rates"] = parameters["log_rates"].detach().exp()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(save(dict(sorted(tensors.items()))))
    card = {
        "layers": len(arguments.hidden),
        "whitening": arguments.whitening,
        "held_out": held_out,
        "arguments": asdict(arguments),
        "versions": package_versions(("numpy", "torch")),
    }
    path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Read the configuration, meta-learn, write weights and card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint beside --out")
    for f in fields(Arguments):
        parser.add_argument(f"--{f.name.replace('_', '-')}", type=yaml.safe_load, help="over the configuration's")
    flags = vars(parser.parse_args(argv))
    config, out, resume = flags.pop("config"), flags.pop("out"), flags.pop("resume")
    try:
        values = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ParameterError(f"cannot read the configuration {config}: {error}.") from error
    given = {key: value for key, value in flags.items() if value is not None}
    arguments = call_with(Arguments, "maml", "configurations", {**values, **given})
    pin_threads()
    checkpoint = (Path("runs/maml") / SHIPPED.name if out == SHIPPED else out).with_suffix(".checkpoint")
    if not resume:
        checkpoint.unlink(missing_ok=True)
    parameters, held_out = train(arguments, checkpoint)
    write(parameters, held_out, arguments, out)
    console.print(held_out)
    return held_out


if __name__ == "__main__":
    main()
