"""The network whose first weights and step sizes were learned over many tasks."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from al_gym.errors import LearnerError, ParameterError
from al_gym.learners.adaptation import Weights, adapt, class_loss, forward, hidden_layer
from al_gym.learners.base import Learner, register_learner
from al_gym.learners.mlp import rows_by_labels
from al_gym.learners.projection import fit_projection
from al_gym.pool.arrays import PoolArrays, Shape
from al_gym.streams import Stream

SHIPPED = Path(__file__).with_name("maml_weights.safetensors")
CHUNK = 1 << 14
"""Items scored at once, so that memory stays bounded on large pools."""


@dataclass(frozen=True)
class Initialisation:
    """What meta-learning found.

    Attributes:
        layers: weight (out, in) and intercept (out, 1) of each hidden layer, float32. The last layer, one output a
            class, starts at zero: classes of a new task have no order, and the start must not prefer one.
        rates: (steps, tensors) float32, step sizes of `layers` and then of the last layer's weight and intercept.
        whitening: of the projection, see `fit_projection`.
    """

    layers: tuple[Tensor, ...]
    rates: Tensor
    whitening: float

    @property
    def inputs(self) -> int:
        """Number of projected features."""
        return self.layers[0].shape[1]

    @property
    def width(self) -> int:
        """Width of the last hidden layer."""
        return self.layers[-2].shape[0]


@cache
def read_initialisation(path: Path) -> Initialisation:
    """The weights at `path` with their .json beside them; reading them runs no code (promise P9).

    Raises:
        LearnerError: a file is missing or broken.
    """
    try:
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        tensors = load_file(path)
        names = [f"{layer}.{part}" for layer in range(int(card["layers"])) for part in ("weight", "bias")]
        found = Initialisation(tuple(tensors[name] for name in names), tensors["rates"], float(card["whitening"]))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise LearnerError(f"maml: cannot read {path}: {error}. Write both files with agents/maml.py.") from error
    _check(found, path)
    return found


def _check(found: Initialisation, path: Path) -> None:
    width = found.layers[0].shape[-1] if found.layers else 0
    for weight, bias in zip(found.layers[::2], found.layers[1::2], strict=True):
        if weight.ndim != 2 or weight.shape[1] != width or bias.shape != (weight.shape[0], 1):
            raise LearnerError(f"maml: in {path} a layer of shape {tuple(weight.shape)} does not take {width} inputs.")
        width = weight.shape[0]
    if not width or found.rates.ndim != 2 or found.rates.shape[1] != len(found.layers) + 2 or not len(found.rates):
        raise LearnerError(f"maml: in {path} the step sizes {tuple(found.rates.shape)} do not fit the layers.")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in (*found.layers, found.rates)):
        raise LearnerError(f"maml: {path} holds values that are not finite.")


@register_learner("maml")
class MAML(Learner):
    r"""Neural network adapted in a few gradient steps from weights that were meta-learned on synthetic tasks.

    The pool's features are projected to a fixed number of columns (principal components, partly whitened; see
    `al_gym.learners.projection`), for each task on its own pool and without labels. From the meta-learned weights
    $\theta_0$ a task takes `steps` full-batch gradient steps on the mean log-loss of its labels,

    $$\theta_{k+1} = \theta_k - \alpha_k \odot \nabla L(\theta_k),$$

    each round anew. The step sizes $\alpha_k$, one for each step and each weight matrix or intercept, are meta-learned
    too. Meta-learning minimised the log-loss on other items *after* these steps, over tasks of the synthetic prior with
    4 to 200 labels and components of random sign. The last layer starts at zero, so that no class is preferred and any
    number of classes will do.

    The representation that strategies see is the last hidden layer.

    **Source:** Finn, Abbeel & Levine 2017, *Model-agnostic meta-learning for fast adaptation of deep networks*; a step
    size for each layer and step as in Antoniou, Edwards & Storkey 2019, *How to train your MAML*; a last layer that
    treats classes alike as in Ye & Chao 2022, *How to train your MAML to excel in few-shot classification*. **Cost:**
    steps x labels x width² a round, one singular value decomposition a task. The weights come from `python -m
    agents.maml`; figures are in the guide *Meta-learning*.

    Args:
        weights: a .safetensors file with its .json beside it; those of the package if empty; `random` for the same
            network from random first weights (He initialisation, the task's own stream), to compare with.
        steps: gradient steps a round; as many as were meta-trained if 0. The last step size serves all further steps.
        lr: one step size for all; the meta-learned ones if 0.

    Raises:
        LearnerError: the weights cannot be read.
    """

    name = "maml"

    def __init__(self, *, weights: str = "", steps: int = 0, lr: float = 0.0) -> None:
        if not isinstance(steps, int) or steps < 0:
            raise ParameterError(f"maml: steps must be a positive integer, or 0 for those meta-trained, got {steps!r}.")
        if not 0 <= lr < float("inf"):
            raise ParameterError(f"maml: lr must be above 0 and finite, or 0 for those meta-learned, got {lr}.")
        self.weights = weights
        self.steps = steps
        self.lr = lr
        self.random = weights == "random"
        self.start = read_initialisation(SHIPPED if self.random or not weights else Path(weights).expanduser())
        learned = self.start.rates
        steps = steps or len(learned)
        rates = torch.cat([learned, learned[-1:].expand(max(0, steps - len(learned)), -1)])[:steps]
        self.rates = torch.full_like(rates, lr) if lr else rates

    def digest(self) -> str:
        """See `Learner.digest`: SHA-256 of what meta-learning found, hexadecimal."""
        found = hashlib.sha256(f"{self.start.whitening}".encode())
        for tensor in (*self.start.layers, self.start.rates):
            found.update(tensor.contiguous().numpy().tobytes())
        return found.hexdigest()

    def allocate(self, shape: Shape, rows: int, device: torch.device) -> dict[str, Any]:
        """See `Learner.allocate`: the projection and the adapted weights of each row, `w0`, `w1`, ... by layer."""
        state = {
            "matrix": torch.zeros(rows, shape.features, self.start.inputs, device=device),
            "mean": torch.zeros(rows, shape.features, device=device),
            "projected": torch.zeros(rows, dtype=torch.bool, device=device),
        }
        head = [torch.zeros(shape.classes, self.start.width), torch.zeros(shape.classes, 1)]
        for number, tensor in enumerate([*self.start.layers, *head]):
            state[f"w{number}"] = torch.zeros(rows, *tensor.shape, device=device)
        return state

    def fit(self, state: dict[str, Any], arrays: PoolArrays, rows: Tensor) -> None:
        """See `Learner.fit`; always from the first weights."""
        for row in rows[~state["projected"][rows]].tolist():
            n, d = int(arrays.n_items[row]), int(arrays.n_features[row])
            projection = fit_projection(arrays.X[row, :n, :d], self.start.inputs, self.start.whitening)
            state["matrix"][row, :d], state["mean"][row, :d] = projection.matrix, projection.mean
            state["projected"][row] = True
        for labels, part in rows_by_labels(arrays, rows):
            m = min(labels, arrays.yL.shape[1])
            X, y = _project(state, part, arrays.XL[part, :m]), arrays.yL[part, :m]
            adapted = self._adapt(self._first(state, arrays, part), X, y, ~arrays.seen[part])
            for number, value in enumerate(adapted):
                state[f"w{number}"][part] = value

    def _adapt(self, weights: Weights, X: Tensor, y: Tensor, unseen: Tensor) -> Weights:
        with torch.enable_grad():  # type: ignore[no-untyped-call]
            for value in weights:
                value.requires_grad_()
            adapted = adapt(weights, lambda w: class_loss(w, X, y, unseen).sum(), self.rates.to(X))
        return [value.detach() for value in adapted]

    def _first(self, state: dict[str, Any], arrays: PoolArrays, rows: Tensor) -> Weights:
        """The first weights of each row, the last layer's zeros included."""
        values = [tensor.to(arrays.X).expand(len(rows), -1, -1).clone() for tensor in self.start.layers]
        if self.random:
            stream = Stream.of(arrays.key[rows.cpu().numpy()], np.zeros(len(rows), np.int64), "maml")
            for draw, value in enumerate(values[::2]):
                _, outputs, inputs = value.shape
                drawn = stream.normal(outputs * inputs, draw=draw).reshape(value.shape) * np.sqrt(2 / inputs)
                value.copy_(torch.from_numpy(drawn))
            for value in values[1::2]:
                value.zero_()
        head = [torch.zeros_like(state[f"w{len(values) + i}"][rows]) for i in range(2)]
        return values + head

    def _adapted(self, state: dict[str, Any], rows: Tensor) -> Weights:
        return [state[f"w{number}"][rows] for number in range(len(self.start.layers) + 2)]

    def predict_proba(self, state: dict[str, Any], arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        """See `Learner.predict_proba`."""
        weights, unseen = self._adapted(state, rows), ~arrays.seen[rows][:, :, None]
        parts = [forward(weights, _project(state, rows, part)) for part in X.split(CHUNK, dim=1)]
        return torch.cat([logits.masked_fill_(unseen, -torch.inf).softmax(dim=1) for logits in parts], dim=2)

    def embed(self, state: dict[str, Any], arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        """See `Learner.embed`: (tasks, n, width), the last hidden layer."""
        return hidden_layer(self._adapted(state, rows), _project(state, rows, X)).mT.contiguous()


def _project(state: dict[str, Any], rows: Tensor, X: Tensor) -> Tensor:
    """(tasks, n, inputs) float32; the mean is taken off first, as features may be far from 0."""
    return (X - state["mean"][rows][:, None, :]) @ state["matrix"][rows]
