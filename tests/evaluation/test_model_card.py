"""The model card's tables, from a small evaluation to the page."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sample_data import blobs, write_folder

import al_gym

POLICIES = [
    "shipped",
    "margin",
    "herd=uherding:power=2,width=0.5",
    "switch",
    "random",
    "oracle:strategies=margin+random",
]
MANIFEST = "name,modality,classes,majority\na,tabular,2,0.5\nb,image-raw,3,0.4\nc,text-embedding,12,0.6\n"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> Path:
    """Two regimes, the first one with an evaluation under shuffled observations."""
    folder = tmp_path_factory.mktemp("card")
    datasets = {name: blobs(name, n=150, seed=i, classes=2 + i) for i, name in enumerate("abc")}
    data = write_folder(folder / "data", **datasets)
    given = {"data": data, "seeds": 3, "pool_size": 60, "jobs": 1}
    al_gym.evaluate(POLICIES, rounds=4, out=folder / "plain", **given)
    al_gym.evaluate({"shuffled": "random-strategy"}, rounds=4, out=folder / "plain" / "shuffled", **given)
    al_gym.evaluate(
        ["shipped", "margin:batch=2", "margin:batch=8"], rounds=4, round_cost=0.01, out=folder / "cost", **given
    )
    (folder / "manifest.csv").write_text(MANIFEST)
    return folder


@pytest.fixture
def script(repository: Path, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    import model_card

    return model_card


def write(script, evaluated, monkeypatch, page, *flags):
    regimes = [f"--regime=plain={evaluated / 'plain'}", f"--regime=cost={evaluated / 'cost'}"]
    places = ["--page", str(page), "--raw", str(evaluated / "raw"), "--images", str(evaluated / "images")]
    chosen = list(flags) or [*regimes, "--manifest", str(evaluated / "manifest.csv")]
    monkeypatch.setattr(sys, "argv", ["model_card.py", *chosen, *places])
    script.main()
    return page.read_text()


def row(text: str, start: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_holds_what_the_evaluation_found(script, evaluated, monkeypatch):
    page = write(script, evaluated, monkeypatch, evaluated / "card.md")
    summary = json.loads((evaluated / "plain" / "summary.json").read_text())
    text = page.partition("<!-- table held-out -->")[2].partition("<!-- end -->")[0]
    for name, entry in summary["policies"].items():
        start = "| **`shipped`**" if name == "shipped" else f"| `{name}`"
        cells = row(text, start)
        assert cells[1].strip("*") == f"{100 * entry['aulc']:.2f}"
        if name != "shipped":
            pair = summary["paired"]["shipped"][name]
            assert cells[2] == f"{100 * pair['difference']:+.2f}"
            assert cells[4] == f"{pair['win']} / {pair['tie']} / {pair['loss']}"
    assert "oracle:strategies=margin+random` (reads hidden labels)" in text
    assert "| `shuffled`" in text
    hindsight = row(text, "| *best library strategy per dataset")
    raw = pd.read_csv(evaluated / "raw" / "plain" / "campaigns.csv.gz")
    means = raw.groupby(["policy", "dataset"])["aulc"].mean().unstack()
    assert float(hindsight[1]) == pytest.approx(100 * means.loc[["margin", "random"]].max().mean(), abs=0.01)
    for name in ("plain", "cost"):
        assert (evaluated / "images" / f"choices-{name}.png").stat().st_size > 5000


def test_fixed_pairs_are_compared_by_utility_under_a_cost(script, evaluated, monkeypatch):
    page = write(script, evaluated, monkeypatch, evaluated / "cost.md")
    summary = json.loads((evaluated / "cost" / "summary.json").read_text())
    text = page.partition("<!-- table full -->")[2]
    assert "utility at a cost of 1 points a round" in text
    for name in ("margin:batch=2", "margin:batch=8"):
        cells = row(text, f"| `{name}`")
        assert cells[1] == f"{100 * summary['policies'][name]['utility']:.2f}"
        pair = summary["paired"]["shipped"][name]["utility"]
        assert cells[2] == f"{100 * pair['difference']:+.2f}"
        low, high = (f"{100 * end:+.2f}" for end in pair["ci95"])
        assert cells[3] == f"{low} to {high}"


def test_a_renamed_policy_is_known_by_what_it_is(script, evaluated, monkeypatch):
    page = write(script, evaluated, monkeypatch, evaluated / "names.md")
    targets = page.partition("<!-- table targets -->")[2].partition("<!-- end -->")[0]
    assert row(targets, "| UHerding")[1] == "`herd`"
    assert row(targets, "| `exp4p`")[3] == "not evaluated"
    saved = pd.read_csv(evaluated / "raw" / "plain" / "savings.csv").query("policy == 'shipped'")
    censored = f"{saved['censored'].sum()} of {len(saved)} censored"
    assert censored in row(targets, "| labels for margin")[3]
    domains = page.partition("<!-- table domains -->")[2].partition("<!-- end -->")[0]
    assert {"tables", "images", "text", "2 classes", "10 or more classes", "balanced", "not balanced"} <= {
        line.split("|")[1].strip() for line in domains.splitlines() if line.startswith("|")
    }
    assert row(domains, "| balanced")[1] == "2"


def test_redrawing_keeps_the_words_and_needs_no_evaluation(script, evaluated, monkeypatch):
    path = evaluated / "again.md"
    first = write(script, evaluated, monkeypatch, path)
    path.write_text(first.replace("# The shipped policy", "# A title of my own\n\nWords of mine."))
    second = write(script, evaluated, monkeypatch, path, "--redraw")
    assert "Words of mine." in second
    assert second.replace("# A title of my own\n\nWords of mine.", "# The shipped policy") == first
    assert str(evaluated) not in (evaluated / "raw" / "plain" / "facts.json").read_text()


def test_policies_of_other_folders_and_of_earlier_numbers_join(script, evaluated, monkeypatch):
    plain, path = evaluated / "plain", evaluated / "joined.md"
    write(script, evaluated, monkeypatch, path)
    given = {"data": evaluated / "data", "seeds": 3, "pool_size": 60, "jobs": 1}
    al_gym.evaluate(["entropy", "margin"], rounds=4, out=evaluated / "more", **given)
    regime = f"--regime=plain={plain},{evaluated / 'more'}"
    page = write(script, evaluated, monkeypatch, path, regime, "--keep", "switch=older", "--keep", "random")
    table = page.partition("<!-- table held-out -->")[2].partition("<!-- end -->")[0]
    assert row(table, "| `older`")[1:] == row(table, "| `switch`")[1:]
    assert row(table, "| `entropy`")[1] != row(table, "| `margin`")[1]
    raw = pd.read_csv(evaluated / "raw" / "plain" / "campaigns.csv.gz")
    assert (raw.groupby("policy").size() == 9).all(), "a policy stands twice"
    facts = json.loads((evaluated / "raw" / "plain" / "facts.json").read_text())
    assert facts["kinds"]["older"] == "switch"
    assert facts["arguments"]["policies"]["entropy"] == "entropy"
    assert facts["card"] == "shipped"
    with pytest.raises(SystemExit, match="of the same shipped"):
        write(script, evaluated, monkeypatch, path, regime, "--keep", "shipped=previous")
    with pytest.raises(SystemExit, match="other splits"):
        write(script, evaluated, monkeypatch, path, f"--regime=plain={plain},{evaluated / 'cost'}")


def test_an_evaluation_of_other_policies_is_added_to_what_is_there(script, evaluated, monkeypatch):
    path = evaluated / "added.md"
    before = write(script, evaluated, monkeypatch, path)
    given = {"data": evaluated / "data", "seeds": 3, "pool_size": 60, "jobs": 1}
    al_gym.evaluate(["badge", "margin", "switch"], rounds=4, out=evaluated / "badge", **given)
    page = write(script, evaluated, monkeypatch, path, "--add", f"plain={evaluated / 'badge'}")
    first, table = (
        text.partition("<!-- table held-out -->")[2].partition("<!-- end -->")[0] for text in (before, page)
    )
    assert row(table, "| **`shipped`**") == row(first, "| **`shipped`**")
    assert row(table, "| `badge`")
    raw = pd.read_csv(evaluated / "raw" / "plain" / "campaigns.csv.gz")
    assert (raw.groupby("policy").size() == 9).all(), "a policy stands twice"
    savings = pd.read_csv(evaluated / "raw" / "plain" / "savings.csv")
    assert (savings["policy"] == "badge").sum() == 3
    with pytest.raises(SystemExit, match="other splits"):
        write(script, evaluated, monkeypatch, path, "--add", f"plain={evaluated / 'cost'}")
    with pytest.raises(SystemExit):
        write(script, evaluated, monkeypatch, path, "--add", f"nothing={evaluated / 'badge'}")


def test_choices_are_shares_of_the_seeds(script, evaluated):
    from card_data import choice_shares
    from card_figures import MOST, shares

    rows = pd.DataFrame(
        [("a", s, r, name, 5) for s in (0, 1) for r, name in enumerate(["", "x", "xy"[s]])],
        columns=["dataset", "seed", "round", "strategy", "batch"],
    )
    table = choice_shares(rows).set_index(["round", "strategy"])["share"]
    assert table.to_dict() == {(1, "x"): 1.0, (2, "x"): 0.5, (2, "y"): 0.5}
    many = pd.DataFrame(
        [("a", 1, f"s{i}", 1 / 40, 5.0) for i in range(40)], columns=["dataset", "round", "strategy", "share", "batch"]
    )
    grouped = shares(many, "round")
    assert len(grouped) == MOST
    np.testing.assert_allclose(grouped.sum(), 1)


def test_verdicts_need_the_margin_and_the_interval(script):
    from card_tables import _verdict

    rng = np.random.default_rng(0)
    base = rng.uniform(0.5, 0.9, (20, 10))
    assert _verdict(base + 0.02, base, 0.012, 0.85)[2] == "yes"
    assert _verdict(base + 0.01, base, 0.012, 0.85)[2] == "**no**"
    noisy = base + 0.02 + rng.normal(0, 0.5, (20, 10))
    assert _verdict(noisy, base, 0.0, 0.85)[2] == "**no**"
    half = base + np.where(np.arange(20) % 2, 0.1, -0.01)[:, None]
    assert _verdict(half, base, 0.012, 0.85)[2] == "**no**"
    assert _verdict(half, base, 0.012, None)[2] == "yes"


def test_a_dataset_without_a_row_in_the_manifest_is_named(script, evaluated, monkeypatch):
    (evaluated / "short.csv").write_text(MANIFEST.rpartition("c,")[0])
    regime = f"--regime=plain={evaluated / 'plain'}"
    with pytest.raises(SystemExit, match="'c'"):
        write(script, evaluated, monkeypatch, evaluated / "x.md", regime, "--manifest", str(evaluated / "short.csv"))
