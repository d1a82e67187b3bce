"""From images and texts to feature vectors: one module of this package is one encoder.

An encoder is a class registered with `IMAGE_ENCODERS` or `TEXT_ENCODERS`. `auto` stands for the best one that runs here
without a download: a pretrained network where its weights are on this machine, else the one that needs none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from al_gym.registry import Registry

Vectors = NDArray[np.float32]


class Encoder(ABC):
    """Makes vectors.

    Attributes:
        costly: whether the vectors are worth keeping on disk.
    """

    costly = True

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Text that is the same exactly as long as the vectors of the same contents are."""


class ImageEncoder(Encoder):
    """Encodes image files."""

    @abstractmethod
    def __call__(self, paths: Sequence[Path]) -> Vectors:
        """(images, features) float32, finite, one row a file.

        Raises:
            DatasetError: a file is no image; the message names it.
        """


class TextEncoder(Encoder):
    """Encodes texts."""

    @abstractmethod
    def __call__(self, texts: Sequence[str]) -> Vectors:
        """(texts, features) float32, finite, one row a text.

        Raises:
            DatasetError: the texts cannot be encoded.
        """


IMAGE_ENCODERS: Registry[ImageEncoder] = Registry("image encoder", "al_gym.tasks.encoders")
TEXT_ENCODERS: Registry[TextEncoder] = Registry("text encoder", "al_gym.tasks.encoders")


def make_image_encoder(spec: str | ImageEncoder) -> ImageEncoder:
    """An image encoder from `auto`, a name, 'name:parameter=value', or as it is.

    `auto` is torchvision's ResNet-18 if its weights lie in torch's cache of downloads, else `descriptor`.
    """
    if not isinstance(spec, str):
        return spec
    if spec == "auto":
        from al_gym.tasks.encoders.backbone import find_weights

        spec = "descriptor" if find_weights("resnet18") is None else "backbone"
    return IMAGE_ENCODERS.make(spec)


def resolve_text_encoder(spec: str) -> str:
    """The name behind `auto`: `sentence-transformers` if that and its default model are on this machine, else `lsa`."""
    if spec != "auto":
        TEXT_ENCODERS.make(spec)
        return spec
    from al_gym.tasks.encoders.sentence import find_model

    return "lsa" if find_model() is None else "sentence-transformers"


def make_text_encoder(spec: str | TextEncoder) -> TextEncoder:
    """A text encoder from `auto`, a name, 'name:parameter=value', or as it is; see `resolve_text_encoder`."""
    return TEXT_ENCODERS.make(resolve_text_encoder(spec)) if isinstance(spec, str) else spec
