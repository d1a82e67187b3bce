"""Every registered thing has its generated page, and the Python blocks of the documentation run."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import gymnasium
import pytest

import al_gym
from al_gym.envs.rewards import REWARDS

ROOT = Path(__file__).resolve().parent.parent
HAND_WRITTEN = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gen_pages", ROOT / "docs" / "gen_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
            path = folder / target
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


@pytest.mark.parametrize("block", [block for _, block in BLOCKS], ids=[name for name, _ in BLOCKS])
def test_python_block_runs(block: str, tmp_path: Path) -> None:
    """Pasted into a fresh interpreter, in an empty folder."""
    run = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr


def test_readme_has_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert "pip install -e . && python train_policy.py " in text
    assert 'pip install -e ".[test]" && pytest' in text
