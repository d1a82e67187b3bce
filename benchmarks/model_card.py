"""Fill the tables and pictures of docs/model-card.md from evaluations of the shipped policy.

    python benchmarks/model_card.py --regime 5x20=runs/a --regime 1x50=runs/b --manifest manifest.csv
    python benchmarks/model_card.py --add 5x20=runs/c   # one more evaluation of other policies on the same splits
    python benchmarks/model_card.py --redraw        # from the raw numbers under benchmarks/results/model_card alone

Each --regime is NAME=OUT with OUT of `al-gym evaluate`; the first one is the main regime. NAME=OUT,OUT2 adds the
policies of another evaluation on the same splits; --keep adds policies of the raw numbers that are there. Where
OUT/shuffled exists (`python benchmarks/shuffle_ablation.py OUT`), the ablation is on the card. The manifest is a csv
with the columns name, modality, classes, majority (share of the largest class). Raw numbers go to
benchmarks/results/model_card/NAME. On the page everything between `<!-- table NAME -->` and `<!-- end -->` is replaced;
the words around it stay.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import card_tables as tables  # noqa: E402
from card_data import Regime, add, collect, read, read_manifest  # noqa: E402
from card_figures import heat_map  # noqa: E402
from page_tables import fill  # noqa: E402

RAW = ROOT / "benchmarks" / "results" / "model_card"
PAGE = ROOT / "docs" / "model-card.md"
IMAGES = ROOT / "docs" / "images" / "model-card"

SKELETON = """# The shipped policy

## Held-out datasets
<!-- table held-out -->
<!-- end -->

## Against the targets
<!-- table targets -->
<!-- end -->

## Regimes
<!-- table regimes -->
<!-- end -->

## By kind of dataset
<!-- table domains -->
<!-- end -->

## Where it loses
<!-- table losses -->
<!-- end -->

## What it chooses, and when
<!-- table choices -->
<!-- end -->

## How much of it is looking
<!-- table shuffled -->
<!-- end -->

## Labels saved
<!-- table savings -->
<!-- end -->

## Every regime in full
<!-- table full -->
<!-- end -->
"""


def blocks(regimes: list[Regime], groups: pd.DataFrame | None, images: str = "images/model-card") -> dict[str, str]:
    """Name of a table -> Markdown."""
    main = regimes[0]
    result = {
        "held-out": tables.held_out(main),
        "targets": tables.targets(main),
        "regimes": tables.regimes(regimes),
        "losses": tables.losses(main),
        "choices": "".join(f"![Choices in the regime {r.name}]({images}/choices-{r.name}.png)\n" for r in regimes),
        "shuffled": tables.shuffled(regimes),
        "savings": f"{tables.describe(main)}\n\n{tables.savings(main)}",
        "full": "\n".join(tables.held_out(regime) for regime in regimes[1:]) or "There is one regime.\n",
    }
    if groups is not None:
        result["domains"] = tables.domains(main, groups)
    return result


def main() -> None:
    """Collect, then render."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regime", action="append", default=[], metavar="NAME=OUT", help="may be repeated")
    parser.add_argument(
        "--keep", action="append", default=[], metavar="NAME[=NEW]", help="a policy of the raw numbers to keep"
    )
    parser.add_argument("--add", action="append", default=[], metavar="NAME=OUT", help="may be repeated")
    parser.add_argument("--manifest", type=Path, help="csv: name, modality, classes, majority")
    parser.add_argument("--policy", default="shipped", help="the policy that the card is about (shipped)")
    parser.add_argument("--raw", type=Path, default=RAW, help="folder of the raw numbers")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page; made if there is none")
    parser.add_argument("--images", type=Path, default=IMAGES, help="folder of the pictures")
    parser.add_argument("--redraw", action="store_true", help="from the raw numbers alone")
    options = parser.parse_args()
    if options.redraw + bool(options.regime) + bool(options.add) != 1:
        parser.error("give --regime NAME=OUT at least once, or --add NAME=OUT, or --redraw.")
    for text in options.add:
        name, _, folder = text.partition("=")
        if not folder or not (options.raw / name / "facts.json").is_file():
            parser.error(f"--add {text}: it must be NAME=OUT, with raw numbers of the regime NAME.")
        add(name, Path(folder), options.raw)
    if options.regime:
        pairs = [text.partition("=")[::2] for text in options.regime]
        for name, folder in pairs:
            if not re.fullmatch(r"[\w.-]+", name) or not folder:
                parser.error(f"--regime {name}={folder}: it must be NAME=OUT, the name of letters, digits and - . _")
            keep = {old: new or old for old, _, new in (text.partition("=") for text in options.keep)}
            collect(name, [Path(part) for part in folder.split(",")], options.policy, options.raw, keep)
        if options.manifest is not None:
            (options.raw / "manifest.csv").write_bytes(options.manifest.read_bytes())
        (options.raw / "order.json").write_text(json.dumps([name for name, _ in pairs]) + "\n", encoding="utf-8")
    regimes = [read(options.raw / name) for name in json.loads((options.raw / "order.json").read_text())]
    manifest = options.raw / "manifest.csv"
    content = blocks(regimes, read_manifest(manifest) if manifest.is_file() else None)
    page = options.page.read_text(encoding="utf-8") if options.page.is_file() else SKELETON
    options.page.write_text(fill(page, content), encoding="utf-8")
    for regime in regimes:
        heat_map(
            regime.choices, options.images / f"choices-{regime.name}.png", tables.describe(regime).replace("*", "")
        )
    print(f"wrote {options.page} and {len(regimes)} pictures")


if __name__ == "__main__":
    main()
