"""The model card's raw numbers: from evaluation folders to small files under benchmarks/results/model_card.

One folder a regime: `campaigns.csv.gz` (one row a campaign), `choices.csv.gz` (share of each strategy by dataset and
round), `savings.csv` (labels saved against margin), `facts.json` (metric, costs, arguments). The card is made from
these alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from al_gym.evaluation.metrics import Scores, campaign_table, score_array
from al_gym.evaluation.savings import label_savings

COLUMNS = ["dataset", "seed", "policy", "aulc", "final_accuracy", "rounds", "labels", "utility"]
FACTS = ("metric", "budgets", "datasets", "seeds", "skipped", "exhausted", "versions")
GZIP = {"method": "gzip", "mtime": 0}  # the same bytes from the same rows
MANIFEST = ("name", "modality", "classes", "majority")


@dataclass(frozen=True)
class Regime:
    """What is known of one regime: the four files."""

    name: str
    campaigns: pd.DataFrame
    choices: pd.DataFrame
    savings: pd.DataFrame
    facts: dict[str, Any]

    def scores(self, column: str = "aulc") -> Scores:
        """(policies, datasets, seeds) of one column; the shuffled policy counts as a policy."""
        return score_array(self.campaigns, column)

    @property
    def policies(self) -> list[str]:
        """Names, in the order of the evaluation."""
        return list(dict.fromkeys(self.campaigns["policy"]))


def collect(name: str, folders: Sequence[Path], card: str, root: Path, keep: Mapping[str, str] | None = None) -> Regime:
    """Read evaluations of the same splits (the first one's `shuffled` folder too), and write the four files.

    Args:
        name: of the regime. folders: OUT of `al-gym evaluate`; the first one has `card`, others add policies. card: the
            policy that the card is about. root: where the regime's folder is made. keep: policies that stay from the
            files that are there -> what they are called from now on.
    """
    parts = [_read_evaluation(folder, None if place else card) for place, folder in enumerate(folders)]
    if keep and (root / name).is_dir():
        kept = _kept(read(root / name), keep)
        if parts[0].facts["arguments"]["policies"][card] in kept.facts["arguments"]["policies"].values():
            raise SystemExit(
                f"{name}: the numbers that are there are of the same {card}; restore the earlier ones first."
            )
        parts.append(kept)
    regime = parts[0]
    regime = Regime(name, regime.campaigns, regime.choices, regime.savings, regime.facts | {"card": card})
    for part in parts[1:]:
        regime = _merged(regime, part)
    _write(regime, root / name)
    return read(root / name)


def add(name: str, folder: Path, root: Path) -> Regime:
    """Add the policies of one more evaluation on the same splits to the files that are there.

    Args:
        name: of the regime. folder: OUT of `al-gym evaluate`; the labels its policies save are kept if `margin` is one
            of them. root: where the regime's folder is.
    """
    _write(_merged(read(root / name), _read_evaluation(folder, None)), root / name)
    return read(root / name)


def _merged(first: Regime, part: Regime) -> Regime:
    """`first` with those policies of `part` that it has not."""
    campaigns, savings, facts = first.campaigns.astype({"policy": str}), first.savings, dict(first.facts)
    if (other := _splits(part.facts)) != _splits(facts):
        raise SystemExit(f"{first.name}: {part.name} has other splits: {other}")
    fresh = [policy for policy in part.policies if policy not in set(campaigns["policy"])]
    campaigns = pd.concat([campaigns, part.campaigns.loc[part.campaigns["policy"].isin(fresh), COLUMNS]])
    if len(part.savings):
        savings = pd.concat([savings, part.savings[part.savings["policy"].isin(fresh)]])
    facts["privileged"] = sorted({*facts["privileged"], *(p for p in part.facts["privileged"] if p in fresh)})
    facts["kinds"] = {p: k for p, k in part.facts["kinds"].items() if p in fresh} | facts["kinds"]
    texts, known = part.facts["arguments"]["policies"], facts["arguments"]
    facts["arguments"] = known | {"policies": {p: texts[p] for p in texts if p in fresh} | known["policies"]}
    return Regime(first.name, campaigns[COLUMNS].round(6), first.choices, savings, facts)


def _read_evaluation(folder: Path, card: str | None) -> Regime:
    """The raw numbers of one OUT, with the choices of `card` if one is named."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    rows = pd.read_csv(folder / "results.csv", keep_default_na=False)
    if card is not None and card not in set(rows["policy"]):
        raise SystemExit(f"{folder} has no policy {card!r}; evaluate it there, or give --policy.")
    measure = {"metric": summary["metric"]}
    cost = summary["arguments"].get("round_cost", 0.0)
    campaigns = campaign_table(rows, summary["budgets"], round_cost=cost, **measure)
    shuffled = folder / "shuffled" / "results.csv"
    if card is not None and shuffled.is_file():
        again = pd.read_csv(shuffled, keep_default_na=False)
        extra = campaign_table(again, summary["budgets"], round_cost=cost, **measure)
        campaigns = pd.concat([campaigns.astype({"policy": str}), extra.astype({"policy": str})])
    savings = pd.DataFrame()
    if "margin" in set(rows["policy"]):
        savings = label_savings(rows, summary["budgets"], reference="margin", **measure)
    facts = {key: summary[key] for key in FACTS} | {
        "round_cost": cost,
        "privileged": [p for p, row in summary["policies"].items() if row["privileged"]],
        "kinds": {name: kind(text) for name, text in summary["arguments"]["policies"].items()},
        "arguments": _portable(summary["arguments"]),
    }
    choices = choice_shares(rows[rows["policy"] == card]) if card is not None else pd.DataFrame()
    return Regime(str(folder), campaigns, choices, savings, facts)


def _kept(old: Regime, keep: Mapping[str, str]) -> Regime:
    """Those policies of raw numbers that were written before, under their new names."""
    campaigns = old.campaigns[old.campaigns["policy"].isin(keep)].replace({"policy": dict(keep)})
    savings = old.savings
    if len(savings):
        savings = savings[savings["policy"].isin(keep)].replace({"policy": dict(keep)})
    facts, texts = old.facts, old.facts["arguments"]["policies"]
    facts = facts | {
        "privileged": [keep[p] for p in facts["privileged"] if p in keep],
        "kinds": {keep[p]: k for p, k in facts["kinds"].items() if p in keep},
        "arguments": facts["arguments"] | {"policies": {keep[p]: t for p, t in texts.items() if p in keep}},
    }
    return Regime(f"the numbers kept of {old.name}", campaigns, pd.DataFrame(), savings, facts)


def _splits(facts: dict[str, Any]) -> dict[str, Any]:
    """What two evaluations must share for their campaigns to be pairs."""
    given = {key: value for key, value in facts["arguments"].items() if key not in ("policies", "data", "save_queries")}
    given["datasets"] = sorted(facts["budgets"])
    defaults = {"review_effort": None, "group_column": None, "text_encoder": "auto", "trusted": False}
    return {key: value for key, value in given.items() if key not in defaults or value != defaults[key]}


def kind(fingerprint: str) -> str:
    """The strategy or policy behind a fingerprint: 'uherding' of 'uherding:power=2'."""
    return re.split(r"[\s:]", fingerprint, maxsplit=1)[0]


def _portable(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments without folders of this machine."""
    kept = {key: value for key, value in arguments.items() if key not in ("jobs", "backend")}
    if kept.get("data"):
        kept["data"] = Path(kept["data"]).name
    return kept


def choice_shares(rows: pd.DataFrame) -> pd.DataFrame:
    """How often each strategy took the batch: columns dataset, round, strategy, share (over seeds), batch (mean)."""
    rows = rows[rows["round"] > 0]
    count = rows.groupby(["dataset", "round", "strategy"], observed=True)["batch"].agg(["size", "mean"])
    total = rows.groupby(["dataset", "round"], observed=True).size().rename("total")
    joined = count.join(total, on=["dataset", "round"]).reset_index()
    joined["share"] = (joined["size"] / joined["total"]).round(4)
    return joined.rename(columns={"mean": "batch"})[["dataset", "round", "strategy", "share", "batch"]]


def _write(regime: Regime, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    regime.campaigns.to_csv(folder / "campaigns.csv.gz", index=False, compression=GZIP)
    regime.choices.to_csv(folder / "choices.csv.gz", index=False, compression=GZIP)
    regime.savings.round(6).to_csv(folder / "savings.csv", index=False)
    (folder / "facts.json").write_text(json.dumps(regime.facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read(folder: Path) -> Regime:
    """The four files of one regime."""
    text = {"dataset": str, "policy": str, "strategy": str}
    savings = folder / "savings.csv"
    return Regime(
        folder.name,
        pd.read_csv(folder / "campaigns.csv.gz", dtype=text),
        pd.read_csv(folder / "choices.csv.gz", dtype=text, keep_default_na=False),
        pd.read_csv(savings, dtype=text) if savings.stat().st_size > 2 else pd.DataFrame(),
        json.loads((folder / "facts.json").read_text(encoding="utf-8")),
    )


def read_manifest(path: Path) -> pd.DataFrame:
    """The groups of each dataset: index name; columns domain, classes, balance.

    Args:
        path: csv with `MANIFEST`: modality as in `al_gym.tasks`, number of classes, share of the largest class.
    """
    table = pd.read_csv(path)
    absent = [name for name in MANIFEST if name not in table.columns]
    if absent:
        raise SystemExit(f"{path} lacks the column {absent[0]!r}; it needs {', '.join(MANIFEST)}.")
    domain = table["modality"].str.partition("-")[0].replace({"tabular": "tables", "image": "images"})
    few = pd.cut(table["classes"], [0, 2, 9, np.inf], labels=["2 classes", "3 to 9 classes", "10 or more classes"])
    even = table["majority"] * table["classes"] <= 1.5
    return pd.DataFrame(
        {
            "domain": domain.to_numpy(),
            "classes": few.astype(str).to_numpy(),
            "balance": np.where(even, "balanced", "not balanced"),
        },
        index=table["name"].astype(str),
    )
