"""Images through a network of torchvision whose weights are on this machine."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch
from torch import nn

from al_gym.errors import DatasetError, ParameterError, UnknownNameError
from al_gym.tasks.encoders import IMAGE_ENCODERS, ImageEncoder, Vectors

BATCH = 32


def find_weights(architecture: str) -> Path | None:
    """File of torchvision's default weights in torch's cache of downloads, or None if it is not there."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(_default_weights(architecture).url).path).name
    return path if path.is_file() else None


@IMAGE_ENCODERS.register("backbone")
class BackboneEncoder(ImageEncoder):
    """A classifier of torchvision up to its last linear layer, with weights that are on this machine.

    Nothing is downloaded here: `python -c "import torchvision; torchvision.models.resnet18(weights='DEFAULT')"` puts
    weights where this encoder looks, or name a file of them. Images are prepared as the weights' own recipe says.

    **Source:** Razavian et al. 2014, *CNN features off-the-shelf*. **Cost:** one forward pass an image.

    Args:
        architecture: name of a classifier of torchvision that ends in a linear layer.
        weights: a file of its weights, as `torch.save(model.state_dict(), FILE)` writes it; torchvision's default ones
            from torch's cache if empty.
    """

    def __init__(self, *, architecture: str = "resnet18", weights: str = "") -> None:
        default = _default_weights(architecture)
        found = Path(weights) if weights else find_weights(architecture)
        if found is None or not found.is_file():
            raise DatasetError(
                f"the weights of {architecture!r} are not in {weights or str(torch.hub.get_dir())!r}; download them "
                f"once with torchvision.models.{architecture}(weights='DEFAULT'), give weights=FILE, or take the "
                "encoder 'descriptor'."
            )
        self.architecture = architecture
        self.weights = found
        self._prepare: Any = default.transforms()

    @property
    def fingerprint(self) -> str:
        """See `Encoder.fingerprint`: architecture and digest of the weights."""
        with self.weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return f"backbone 1 {self.architecture} {digest}"

    def __call__(self, paths: Sequence[Path]) -> Vectors:
        """See `ImageEncoder.__call__`: what enters the last linear layer, 512 features for ResNet-18."""
        model = self._model()
        parts = []
        with torch.no_grad():
            for start in range(0, len(paths), BATCH):
                images = torch.stack([self._prepare(_open(path)) for path in paths[start : start + BATCH]])
                parts.append(model(images).flatten(1).numpy())
        return np.concatenate(parts).astype(np.float32)

    def _model(self) -> nn.Module:
        """The network in evaluation mode, its last linear layer replaced by nothing."""
        import torchvision

        model: nn.Module = torchvision.models.get_model(self.architecture, weights=None)
        try:
            model.load_state_dict(torch.load(self.weights, map_location="cpu", weights_only=True))
        except (RuntimeError, OSError, ValueError, TypeError, AttributeError, pickle.UnpicklingError) as error:
            raise DatasetError(f"{self.weights} holds no weights of {self.architecture!r}: {error}") from error
        linear = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
        if not linear:
            raise ParameterError(f"{self.architecture!r} has no linear layer to stop at; take another architecture.")
        parent, _, child = linear[-1].rpartition(".")
        setattr(model.get_submodule(parent), child, nn.Identity())
        return model.eval()


def _default_weights(architecture: str) -> Any:
    import torchvision

    if architecture not in torchvision.models.list_models(module=torchvision.models):
        raise UnknownNameError("architecture", architecture, torchvision.models.list_models(module=torchvision.models))
    return torchvision.models.get_model_weights(architecture).DEFAULT


def _open(path: Path) -> Any:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path} is no image that can be read: {error}") from error
