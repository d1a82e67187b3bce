"""The default network of the `lightning` learner; importing this needs Lightning."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from al_gym.errors import MissingExtraError

try:
    from lightning import LightningModule
except ImportError as error:
    raise MissingExtraError("lightning", "lightning") from error


class SmallNetwork(LightningModule):
    """One hidden layer of 64 rectified units, trained by AdamW on the log-loss.

    Args:
        features: width of the input.
        classes: number of logits.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, classes))

    def forward(self, X: Tensor) -> Tensor:
        """(n, classes) logits of (n, features)."""
        logits: Tensor = self.layers(X)
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """The mean log-loss of one batch (inputs, labels)."""
        X, y = batch
        return nn.functional.cross_entropy(self(X), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW with a step of 0.003."""
        return torch.optim.AdamW(self.parameters(), lr=0.003)
