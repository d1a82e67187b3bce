"""Embeddings on disk: encoded once, kept as npz, found again by their contents and their encoder."""

from __future__ import annotations

import hashlib
import os
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from al_gym.tasks.encoders import Encoder, Vectors

#: Where embeddings are kept if no folder is given.
DEFAULT_CACHE = Path("~/.cache/al_gym/embeddings")


def cached_vectors(
    encoder: Encoder,
    contents: Sequence[bytes],
    encode: Callable[[], Vectors],
    *,
    name: str,
    cache: str | Path | None,
) -> Vectors:
    """The vectors of these contents by this encoder, from the cache or new ones that are then kept.

    Args:
        encoder: one that is not `costly` is asked again each time.
        contents: (items,) what is encoded, for the key. encode: makes the vectors.
        name: begins the name of the file, `NAME-KEY.npz` with arrays `X`, `key` and `encoder`.
        cache: its folder; None keeps nothing. One that cannot be written to costs a warning.
    """
    if cache is None or not encoder.costly:
        return encode()
    digests = b"".join(hashlib.sha256(item).digest() for item in contents)
    key = hashlib.sha256(encoder.fingerprint.encode() + b"\0" + digests).hexdigest()
    path = Path(cache).expanduser() / f"{name}-{key[:16]}.npz"
    kept = _read(path, key)
    if kept is not None:
        return kept
    X = encode()
    try:
        _write(path, X, key, encoder.fingerprint)
    except OSError as error:
        warnings.warn(f"The embeddings of {name!r} are not kept ({error}); give cache= a folder that can be written.")
    return X


def _read(path: Path, key: str) -> Vectors | None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return np.asarray(arrays["X"], dtype=np.float32) if str(arrays["key"]) == key else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # absent or damaged: made anew
        return None


def _write(path: Path, X: Vectors, key: str, fingerprint: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, X=X, key=np.array(key), encoder=np.array(fingerprint))
    os.replace(temporary, path)
