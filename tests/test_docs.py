"""Every registered thing has its generated page, and the Python blocks of the documentation run."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import gymnasium
import numpy as np
import pandas as pd
import pytest

import al_gym
from al_gym.envs.rewards import REWARDS

ROOT = Path(__file__).resolve().parent.parent
HAND_WRITTEN = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return load(ROOT / "docs" / "gen_pages.py")


@pytest.fixture(scope="module")
def figure() -> ModuleType:
    return load(ROOT / "benchmarks" / "learning_curve.py")


@pytest.fixture(scope="module")
def pages(generator: ModuleType) -> dict[str, str]:
    result: dict[str, str] = generator.pages()
    return result


def test_every_environment_has_its_page(pages: dict[str, str]) -> None:
    ids = [spec.id for spec in gymnasium.registry.values() if spec.namespace == "al_gym"]
    assert {"al_gym/Strategy-v0", "al_gym/Budget-v0", "al_gym/StrategyBudget-v0"} <= set(ids)
    for id in ids:
        page = pages[f"environments/{id.split('/')[1].lower()}.md"]
        assert page.startswith(f"# {id}\n")
        for topic in ("action", "observation", "reward"):
            assert topic in page.lower(), f"the page of {id} says nothing about the {topic}"
        assert f'gym.make("{id}"' in page
        assert "round_cost=" in page, "the constructor arguments are missing"


@pytest.mark.parametrize(
    ("folder", "listing"),
    [("strategies", "strategies"), ("learners", "learners"), ("task-suites", "suites"), ("policies", "policies")],
)
def test_every_piece_has_its_page(pages: dict[str, str], folder: str, listing: str) -> None:
    known = getattr(al_gym, f"list_{listing}")()
    assert known
    for name, line in known.items():
        page = pages[f"{folder}/{name}.md"]
        assert line.strip(), f"{name} has no docstring"
        assert page.startswith(f"# {name}\n\n{line[:20]}")
        assert f"[`{name}`]({name}.md)" in pages[f"{folder}/index.md"]


def test_every_reward_has_its_page(pages: dict[str, str]) -> None:
    assert {f"rewards/{name}.md" for name in REWARDS.names()} <= set(pages)


def test_api_pages_cover_every_public_module(pages: dict[str, str]) -> None:
    text = "\n".join(page for path, page in pages.items() if path.startswith("api/"))
    listed = set(re.findall(r"^::: (\S+)$", text, re.MULTILINE))
    files = (path.relative_to(ROOT).with_suffix("").parts for path in (ROOT / "al_gym").rglob("*.py"))
    modules = {".".join(part for part in parts if part != "__init__") for parts in files}
    optional = {name for name in modules if name.startswith("al_gym.integrations.")}
    assert {name for name in modules - optional if not re.search(r"\._", name)} <= listed


def test_docstring_becomes_markdown(generator: ModuleType) -> None:
    docstring = """Adds.

Args:
    a: first
        number.
    b (int): second.

Example:
    >>> add(1, 2)
    3

## Source
None."""
    expected = """Adds.

## Args

- `a`: first number.
- `b` (int): second.

## Example

```pycon
>>> add(1, 2)
3
```

## Source
None."""
    assert generator.markdown(docstring, level=2) == expected


def test_links_between_pages_lead_somewhere(pages: dict[str, str]) -> None:
    for name in HAND_WRITTEN:
        text = re.sub(r"```.*?```", "", (ROOT / name).read_text(), flags=re.DOTALL)
        folder = Path(name).parent
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            path = Path(os.path.normpath(folder / target))
            generated = path.is_relative_to("docs") and path.relative_to("docs").as_posix() in pages
            assert generated or (ROOT / path).exists(), f"{name} links to {target}, which does not exist"


def python_blocks() -> list[tuple[str, str]]:
    blocks = []
    for name in HAND_WRITTEN:
        found = re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)
        blocks += [(f"{name}-{number}", block) for number, block in enumerate(found, 1)]
    return blocks


BLOCKS = python_blocks()


def test_readme_has_a_quick_start_of_twenty_lines() -> None:
    (block,) = [block for name, block in BLOCKS if name.startswith("README")]
    assert len(block.strip().splitlines()) <= 20
    for call in ("gym.make(", "gym.make_vec(", "load_policy(", "evaluate("):
        assert call in block


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for _, block in BLOCKS], ids=[name for name, _ in BLOCKS])
def test_python_block_runs(block: str, tmp_path: Path) -> None:
    """Pasted into a fresh interpreter, in an empty folder."""
    if re.search(r"^import ray$", block, re.MULTILINE):
        compile(block, "block", "exec")
        pytest.skip("starts a Ray cluster, which is optional and heavy; its syntax was checked")
    run = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stderr


def test_readme_has_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert "pip install -e . && python train_policy.py " in text
    assert 'pip install -e ".[test]" && pytest' in text


RAW = ROOT / "benchmarks" / "results" / "learning_curve"


def test_raw_rows_of_the_picture_come_from_the_documented_command(figure: ModuleType) -> None:
    assert figure.__doc__ is not None
    arguments = json.loads((RAW / "summary.json").read_text())["arguments"]
    policies = re.findall(r"--policy (\S+)", figure.__doc__)
    assert list(pd.read_csv(RAW / "results.csv")["policy"].unique()) == policies
    for flag in ("tasks", "seeds", "max-budget-share"):
        (value,) = re.findall(rf"--{flag} (\S+)", figure.__doc__)
        assert str(arguments[flag.replace("-", "_")]) == value


def test_picture_is_drawn_from_the_raw_rows(figure: ModuleType, tmp_path: Path) -> None:
    figure.draw(pd.read_csv(RAW / "results.csv"), tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


SCENARIO_PAGES = sorted((ROOT / "docs" / "scenarios").glob("*.md"))


@pytest.fixture(scope="module")
def scenarios() -> ModuleType:
    return load(ROOT / "benchmarks" / "scenarios.py")


def test_tables_of_the_scenarios_are_those_of_the_raw_rows(scenarios: ModuleType, tmp_path: Path) -> None:
    assert {study.scenario for study in scenarios.STUDIES} == {page.stem for page in SCENARIO_PAGES}
    for study in scenarios.STUDIES:
        page = (ROOT / "docs" / "scenarios" / f"{study.scenario}.md").read_text()
        assert f"<!-- {study.key} -->\n{scenarios.table(study)}\n<!-- end -->" in page, study.key
        assert set(scenarios.load(study)[0]["policy"]) == set(study.policies)
        assert ("synthetic" in study.title.lower()) == isinstance(study.tasks, str)


@pytest.mark.slow
def test_pictures_of_the_scenarios_are_drawn_from_the_raw_rows(scenarios: ModuleType, tmp_path: Path) -> None:
    for page in SCENARIO_PAGES:
        path = scenarios.draw(page.stem, tmp_path)
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert (ROOT / "docs/images/scenarios" / path.name).is_file()
        assert "not** included" in page.read_text() and "synthetic" in page.read_text().lower()


def test_differences_from_margin_are_paired(scenarios: ModuleType) -> None:
    rows = [
        ("d", seed, policy, 0.5 + 0.1 * seed + gain)
        for seed in range(4)
        for policy, gain in (("margin", 0), ("p", 0.02))
    ]
    campaigns = pd.DataFrame(rows, columns=["dataset", "seed", "policy", "aulc"])
    assert scenarios.difference(campaigns, "p") == "+2.0 ± 0.0"
    assert scenarios.difference(campaigns, "margin") == ""
    campaigns.loc[(campaigns["policy"] == "p") & (campaigns["seed"] < 2), "aulc"] += 0.04
    assert scenarios.difference(campaigns, "p") == "+4.0 ± 3.7"  # 3.182 * 2.309 / 2


def test_curve_is_the_mean_over_datasets_of_the_mean_over_seeds(figure: ModuleType) -> None:
    accuracy = {("a", 0): [0.0, 0.5], ("a", 1): [0.2, 0.7], ("b", 0): [0.4, 0.8], ("b", 1): [0.4, 1.0]}
    rows = [(d, s, "p", 4 * r, a) for (d, s), values in accuracy.items() for r, a in enumerate(values)]
    results = pd.DataFrame(rows, columns=["dataset", "seed", "policy", "bought", "test_accuracy"])
    grid = figure.common_grid(results)
    curve = figure.curve(results, "p", grid, np.random.default_rng(0))
    assert grid.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(curve.mean, np.linspace(0.25, 0.75, 5))
    np.testing.assert_allclose(curve.low, np.linspace(0.2, 0.65, 5))
    np.testing.assert_allclose(curve.high, np.linspace(0.3, 0.85, 5))
