"""Any torch network behind the protocol of learners, one task at a time."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from al_gym.errors import LearnerError, ParameterError
from al_gym.learners.base import Learner, register_learner
from al_gym.pool.arrays import PoolArrays, Shape
from al_gym.streams import Stream

ModuleFactory = Callable[[int, int], nn.Module]
"""Builds a network from the numbers of features and of classes; its output is (items, classes) logits."""
CHUNK = 1024
"""Items in one forward pass without gradients."""
LEAST_GAIN = 1e-4
"""An epoch that lowers the watched loss by less counts against the patience."""


def small_network(features: int, classes: int) -> nn.Module:
    """The default network: one hidden layer of 64 rectified units."""
    return nn.Sequential(nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, classes))


class ModuleLearner(Learner):
    """What learners around one `nn.Module` a task share: building, seeding, probabilities, representation.

    Args:
        module: called with the numbers of features and of classes.
        input_shape: shape of one item, such as (3, 32, 32); None leaves it flat.
        integer: whether inputs are cast to int64, for token ids.
        warm_start: whether a round goes on from the last network.
        device: where the networks live.
    """

    def __init__(
        self, module: ModuleFactory, input_shape: Sequence[int] | None, integer: bool, warm_start: bool, device: str
    ) -> None:
        if isinstance(module, nn.Module) or not callable(module):
            raise ParameterError(f"{self.name}: module must be a function of (features, classes), got {module!r}.")
        try:
            self.device = torch.device(device)
        except RuntimeError as error:
            raise ParameterError(f"{self.name}: device must be one that torch knows, got {device!r}.") from error
        self.module = module
        self.input_shape = None if input_shape is None else tuple(input_shape)
        self.integer = integer
        self.warm_start = warm_start

    @abstractmethod
    def train(self, model: nn.Module, X: Tensor, y: Tensor, seen: Tensor) -> None:
        """Train one network in place.

        Args:
            X: (labels, *input_shape), on `device`. y: (labels,) int64. seen: (classes,) bool.
        """

    @abstractmethod
    def logits(self, model: nn.Module, X: Tensor) -> Tensor:
        """(n, classes) float32 of inputs (n, *input_shape), in evaluation mode and without gradients."""

    def allocate(self, shape: Shape, rows: int, device: torch.device) -> dict[str, Any]:
        """See `Learner.allocate`: one network a row."""
        return {"module": [None] * rows}

    def fit(self, state: dict[str, Any], arrays: PoolArrays, rows: Tensor) -> None:
        """See `Learner.fit`; with one class so far the network is built and left as it is."""
        numbers = rows.cpu().numpy()
        seeds = Stream.of(arrays.key[numbers], arrays.round[rows].cpu().numpy(), self.name).seeds()
        for row, seed in zip(rows.tolist(), seeds, strict=True):
            features, classes = int(arrays.n_features[row]), int(arrays.n_classes[row])
            count, seen = int(arrays.count[row]), arrays.seen[row, :classes].to(self.device)
            with seeded(seed, self.device), torch.enable_grad():
                model = state["module"][row] if self.warm_start else None
                model = self.module(features, classes).to(self.device) if model is None else model
                if int(seen.sum()) > 1:
                    X = self.inputs(arrays.XL[row, :count, :features])
                    self.train(model, X, arrays.yL[row, :count].to(self.device), seen)
            state["module"][row] = model

    def inputs(self, X: Tensor) -> Tensor:
        """What a network receives for (n, features) items."""
        X = X.to(self.device)
        X = X.long() if self.integer else X
        if self.input_shape is None:
            return X
        try:
            return X.reshape(len(X), *self.input_shape)
        except RuntimeError as error:
            raise LearnerError(
                f"{self.name}: items of {X.shape[1]} features do not have the input_shape {self.input_shape}."
            ) from error

    def predict_proba(self, state: dict[str, Any], arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        """See `Learner.predict_proba`."""
        proba = torch.zeros(len(rows), arrays.seen.shape[1], X.shape[1], device=X.device)
        for i, row in enumerate(rows.tolist()):
            classes = int(arrays.n_classes[row])
            logits = self.logits(state["module"][row], self.inputs(X[i, :, : int(arrays.n_features[row])]))
            if logits.shape != (X.shape[1], classes):
                raise LearnerError(
                    f"{self.name}: the network returned {tuple(logits.shape)}; it must return one logit for each of "
                    f"{X.shape[1]} items and {classes} classes."
                )
            masked = logits.to(X).masked_fill(~arrays.seen[row, :classes], -torch.inf)
            proba[i, :classes] = masked.softmax(dim=1).mT
        return proba

    def embed(self, state: dict[str, Any], arrays: PoolArrays, rows: Tensor, X: Tensor) -> Tensor:
        """See `Learner.embed`: what enters the last linear layer, flat; narrower networks are padded with zeros."""
        parts = []
        for i, row in enumerate(rows.tolist()):
            inputs = self.inputs(X[i, :, : int(arrays.n_features[row])])
            parts.append(penultimate(state["module"][row], inputs).to(X))
        width = max(part.shape[1] for part in parts)
        return torch.stack([nn.functional.pad(part, (0, width - part.shape[1])) for part in parts])


@register_learner("torch")
class TorchLearner(ModuleLearner):
    r"""Any torch network on raw inputs, such as images or token ids; a small network by default.

    Each task has its own network, trained by AdamW on the log-loss over the classes seen. With `input_shape=` the
    flat features of an item become the image that they were; give the environment `scaling="none"` where the network
    expects raw values. Training ends after `epochs`, or when the watched loss has not fallen for `patience` epochs:
    the loss on a random `validation_share` of the labels, whose best network is then kept, or the training loss if
    that share is 0. Network, order of the batches and dropout are seeded by the task and the round, without a trace
    in torch's global generator.

    The representation that strategies see is what enters the last `nn.Linear` of the network.

    **Source:** Loshchilov & Hutter 2019, *Decoupled weight decay regularization* (AdamW); Ash & Adams 2020, *On
    warm-starting neural network training* (why from scratch is the default). **Cost:** epochs x labels forward and
    backward passes a task and round.

    Args:
        module: a function of (features, classes) that builds a network with (items, classes) logits; one at the top
            level of a module can be pickled.
        input_shape: shape of one item, such as (3, 32, 32); None leaves it flat.
        integer: whether inputs are cast to int64, for token ids.
        epochs: at most so many passes over the labels a round, at least 1.
        batch_size: labels a step, at least 2.
        lr: step size, above 0.
        weight_decay: decoupled weight decay, at least 0.
        warm_start: whether a round goes on from the last network instead of from scratch.
        patience: epochs without progress before training ends, at least 1.
        validation_share: share of the labels in [0, 1) that early stopping watches instead of training on them.
        device: where the networks live.
    """

    name = "torch"

    def __init__(
        self,
        *,
        module: ModuleFactory = small_network,
        input_shape: Sequence[int] | None = None,
        integer: bool = False,
        epochs: int = 100,
        batch_size: int = 32,
        lr: float = 0.003,
        weight_decay: float = 0.01,
        warm_start: bool = False,
        patience: int = 10,
        validation_share: float = 0.0,
        device: str = "cpu",
    ) -> None:
        super().__init__(module, input_shape, integer, warm_start, device)
        for key, value, least in (("epochs", epochs, 1), ("batch_size", batch_size, 2), ("patience", patience, 1)):
            if not isinstance(value, int) or value < least:
                raise ParameterError(f"torch: {key} must be an integer of at least {least}, got {value!r}.")
        if not 0 < lr < float("inf"):
            raise ParameterError(f"torch: lr must be above 0 and finite, got {lr}.")
        if not 0 <= weight_decay < float("inf"):
            raise ParameterError(f"torch: weight_decay must be at least 0 and finite, got {weight_decay}.")
        if not 0 <= validation_share < 1:
            raise ParameterError(f"torch: validation_share must lie in [0, 1), got {validation_share}.")
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.patience = patience
        self.validation_share = validation_share

    def train(self, model: nn.Module, X: Tensor, y: Tensor, seen: Tensor) -> None:
        """See `ModuleLearner.train`."""
        optimiser = torch.optim.AdamW(model.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        order = torch.randperm(len(X), device=X.device)
        held = min(int(self.validation_share * len(X)), len(X) - 2)
        watched, used = order[:held], order[held:]
        best, kept, waited = float("inf"), None, 0
        for _ in range(self.epochs):
            loss = self._epoch(model, optimiser, X[used], y[used], seen)
            if held:
                logits = self.logits(model, X[watched]).masked_fill(~seen, -torch.inf)
                loss = float(nn.functional.cross_entropy(logits, y[watched]))
            if loss < best - LEAST_GAIN:
                best, waited = loss, 0
                kept = copy.deepcopy(model.state_dict()) if held else None
            else:
                waited += 1
            if waited == self.patience:
                break
        if kept is not None:
            model.load_state_dict(kept)

    def _epoch(self, model: nn.Module, optimiser: torch.optim.Optimizer, X: Tensor, y: Tensor, seen: Tensor) -> float:
        """One pass in random batches of nearly equal sizes; the mean loss."""
        model.train()
        total = 0.0
        for batch in torch.randperm(len(X), device=X.device).tensor_split(-(-len(X) // self.batch_size)):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(model(X[batch]).masked_fill(~seen, -torch.inf), y[batch])
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) * len(batch)
        return total / len(X)

    def logits(self, model: nn.Module, X: Tensor) -> Tensor:
        """See `ModuleLearner.logits`."""
        model.eval()
        with torch.no_grad():
            return torch.cat([model(part) for part in X.split(CHUNK)])


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Run the body under a seed of its own: torch's generators are afterwards as they were (promise P5).

    Networks draw their first weights and dropout from the global generators and take no other, hence the detour.
    """
    on_gpu = device.type == "cuda"
    index = (torch.cuda.current_device() if device.index is None else device.index) if on_gpu else 0
    with torch.random.fork_rng(devices=[index] if on_gpu else []):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield


def penultimate(model: nn.Module, X: Tensor) -> Tensor:
    """(n, width) float32, what enters the last `nn.Linear` of a network, in evaluation mode.

    Raises:
        LearnerError: the network has no `nn.Linear`, or does not use the last one.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    caught: list[Tensor] = []
    if layers:
        hook = layers[-1].register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].flatten(1)))
        model.eval()
        try:
            with torch.no_grad():
                for part in X.split(CHUNK):
                    model(part)
        finally:
            hook.remove()
    if not caught:
        raise LearnerError(f"{type(model).__name__} runs no nn.Linear, so it has no representation; end it with one.")
    return torch.cat(caught)
