"""Latent semantic analysis of the texts themselves: needs no model."""

from __future__ import annotations

from collections.abc import Sequence

from al_gym.tasks.encode import TEXT_DIMENSIONS, encode_text
from al_gym.tasks.encoders import TEXT_ENCODERS, TextEncoder, Vectors


@TEXT_ENCODERS.register("lsa")
class LatentSemanticEncoder(TextEncoder):
    """TF-IDF of words and word pairs, then truncated SVD, fitted on the texts without their labels; no download.

    A text's vector depends on the other texts: encode all of them at once. A word says nothing about another one that
    never occurs with it or its neighbours, so short texts need many labels.

    **Source:** Deerwester et al. 1990, *Indexing by latent semantic analysis*.
    """

    costly = False

    @property
    def fingerprint(self) -> str:
        """See `Encoder.fingerprint`."""
        return f"lsa 1 {TEXT_DIMENSIONS}"

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """See `TextEncoder.__call__`: at most 128 features, rows of length 1 or 0."""
        return encode_text(texts)
