"""Fixes which datasets of a folder train, tune and judge a meta-policy, by family, before any training.

    python benchmarks/meta_split.py MANIFEST.csv          # writes benchmarks/splits/corpus.json

`train` is the set that informed the design (every second file by name with at most 20 classes and 500 rows or more).
Of the families that have no dataset in it, ordered by the SHA-256 of their names within each modality, every second
one is `test` and the others are `valid`. Datasets that share a family with `train` but are not in it go to `train`.
Names and content hashes are committed; `python benchmarks/meta_split.py MANIFEST.csv --check` compares.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

import pandas as pd

TARGET = Path(__file__).parent / "splits" / "corpus.json"


def meta_split(manifest: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Part -> dataset name -> content hash, from the columns name, family, modality, rows, classes, sha256."""
    manifest = manifest.sort_values("name").reset_index(drop=True)
    design = manifest.iloc[::2]
    families = set(design[(design["classes"] <= 20) & (design["rows"] >= 500)]["family"])
    free = manifest[~manifest["family"].isin(families)].drop_duplicates("family")
    part = dict.fromkeys(families, "train")
    for _, group in free.groupby("modality"):
        ordered = sorted(group["family"], key=lambda family: hashlib.sha256(family.encode()).hexdigest())
        part |= {family: ("test", "valid")[i % 2] for i, family in enumerate(ordered)}
    split: dict[str, dict[str, str]] = {"train": {}, "valid": {}, "test": {}}
    for row in manifest.itertuples():
        split[part[row.family]][row.name] = row.sha256
    return split


def main() -> int:
    """Write the split, or compare it with the committed one."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    split = meta_split(pd.read_csv(args.manifest))
    if args.check:
        same = split == json.loads(TARGET.read_text())
        sys.stdout.write(f"the split {'equals' if same else 'DIFFERS FROM'} {TARGET.name}\n")
        return 0 if same else 1
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(split, indent=1) + "\n")
    for part, names in split.items():
        (TARGET.parent / f"{part}.txt").write_text("".join(f"{name}\n" for name in names))
        sys.stdout.write(f"{part}: {len(names)} datasets\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
