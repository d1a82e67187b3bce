"""Any LightningModule behind the protocol of learners, by the public interface of its Trainer."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from al_gym.errors import LearnerError, MissingExtraError, ParameterError
from al_gym.learners.base import register_learner
from al_gym.learners.torch_module import CHUNK, ModuleFactory, ModuleLearner


@register_learner("lightning")
class LightningLearner(ModuleLearner):
    """Any LightningModule, trained by `Trainer.fit` and asked by `Trainer.predict`.

    The module brings its own loss, optimiser and schedule: `training_step` receives batches (inputs, labels), and
    `predict_step`, which is `forward` unless overridden, receives inputs and returns (items, classes) logits. Classes
    without a label get probability 0 afterwards. Training runs for `epochs`; add `EarlyStopping(monitor=...)` and other
    callbacks by `callbacks=`. Seeds and representation are as for `torch`. Needs `pip install "al-gym[lightning]"`.

    **Source:** Falcon et al. 2019, *PyTorch Lightning*. **Cost:** that of the module, and of the three
    Trainers that a task needs a round.

    Args:
        module: a function of (features, classes) that builds a LightningModule, such as its class; a small network
            with one hidden layer if None.
        input_shape: shape of one item, such as (3, 32, 32); None leaves it flat.
        integer: whether inputs are cast to int64, for token ids.
        epochs: passes over the labels a round, at least 1.
        batch_size: labels a step, at least 2.
        warm_start: whether a round goes on from the last module instead of from scratch.
        callbacks: callbacks of the Trainer; every fit gets copies.
        device: where the modules train, such as "cpu" or "cuda:1".
    """

    name = "lightning"

    def __init__(
        self,
        *,
        module: ModuleFactory | None = None,
        input_shape: Sequence[int] | None = None,
        integer: bool = False,
        epochs: int = 100,
        batch_size: int = 32,
        warm_start: bool = False,
        callbacks: Sequence[Any] = (),
        device: str = "cpu",
    ) -> None:
        try:
            import lightning  # noqa: F401 (the error comes now, not in the first fit)
        except ImportError as error:
            raise MissingExtraError("lightning", "lightning") from error
        if module is None:
            from al_gym.integrations.lightning_network import SmallNetwork

            module = SmallNetwork
        super().__init__(module, input_shape, integer, warm_start, device)
        for key, value, least in (("epochs", epochs, 1), ("batch_size", batch_size, 2)):
            if not isinstance(value, int) or value < least:
                raise ParameterError(f"lightning: {key} must be an integer of at least {least}, got {value!r}.")
        self.epochs = epochs
        self.batch_size = batch_size
        self.callbacks = tuple(callbacks)

    def train(self, model: nn.Module, X: Tensor, y: Tensor, seen: Tensor) -> None:
        """See `ModuleLearner.train`."""
        # Batch normalisation stops at a batch of one item: a last one is left out of its epoch.
        lonely = len(X) > self.batch_size and len(X) % self.batch_size == 1
        loader = DataLoader(TensorDataset(X, y), batch_size=self.batch_size, shuffle=True, drop_last=lonely)
        with _quiet():
            self._trainer(max_epochs=self.epochs, callbacks=copy.deepcopy(list(self.callbacks))).fit(model, loader)
        model.to(self.device)

    def logits(self, model: nn.Module, X: Tensor) -> Tensor:
        """See `ModuleLearner.logits`."""
        # An iteration draws a seed for workers, also without any: from this generator instead of the global one.
        loader = DataLoader(_Items(X), batch_size=CHUNK, generator=torch.Generator())
        with _quiet():
            parts = self._trainer().predict(model, loader)
        model.to(self.device)
        if not parts or not all(isinstance(part, Tensor) for part in parts):
            raise LearnerError(f"lightning: predict_step of {type(model).__name__} must return a tensor of logits.")
        return torch.cat(parts).to(self.device)

    def _trainer(self, **arguments: Any) -> Any:
        """A silent Trainer on the learner's device, which writes no files."""
        from lightning import Trainer

        return Trainer(
            accelerator="gpu" if self.device.type == "cuda" else self.device.type,
            devices=[self.device.index or 0] if self.device.type == "cuda" else 1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **arguments,
        )


class _Items(torch.utils.data.Dataset[Tensor]):
    """Inputs without labels, so that the default `predict_step` receives a tensor."""

    def __init__(self, X: Tensor) -> None:
        self.X = X

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, item: int) -> Tensor:
        return self.X[item]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the notes on hardware and data loading that every Trainer writes; warnings of modules still come."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "pytorch_lightning")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        try:
            for logger in loggers:
                logger.setLevel(logging.WARNING)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
