"""The examples of docs/adding-a-strategy.md and docs/adapters.md do what the pages say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"


def blocks(page: str, language: str) -> list[str]:
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    return found


def run(arguments: list[str], folder: Path) -> None:
    """In a fresh interpreter, in `folder`; al_gym itself comes from where these tests do."""
    path = os.pathsep.join([str(DOCS.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that holds my_strategy.py as the page gives it."""
    (code,) = blocks("adding-a-strategy.md", "python")
    (tmp_path / "my_strategy.py").write_text(code)
    return tmp_path


@pytest.mark.slow
def test_a_strategy_in_one_file_in_python(folder: Path) -> None:
    (code,) = blocks("adding-a-strategy.md", "py")
    checks = ["assert info['strategy'] == 1", "assert 'my_strategy:DenseMargin' in set(result.results['policy'])"]
    (folder / "use.py").write_text("\n".join([code, *checks]))
    run(["use.py"], folder)


@pytest.mark.slow
def test_a_strategy_in_one_file_on_the_command_line(folder: Path) -> None:
    (command,) = blocks("adding-a-strategy.md", "bash")
    words = command.replace("\\\n", " ").split()
    assert words[0] == "al-gym"
    run(["-c", "import sys; from al_gym.cli import main; sys.exit(main(sys.argv[1:]))", *words[1:]], folder)
    rows = pd.read_csv(folder / "runs" / "mine" / "results.csv")
    assert set(rows["policy"]) == {"margin", "my_strategy:DenseMargin", "twice"}
    assert set(rows.loc[rows["policy"] != "margin", "strategy"].dropna()) == {"dense-margin"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "code", blocks("adapters.md", "py"), ids=["modAL-in", "skactiveml-in", "modAL-out", "skactiveml-out"]
)
def test_adapters(code: str, tmp_path: Path) -> None:
    pytest.importorskip("modAL" if "modAL" in code else "skactiveml")
    (tmp_path / "use.py").write_text(code)
    run(["use.py"], tmp_path)


def test_the_page_says_what_became_of_pyactivelearn() -> None:
    text = (DOCS / "adapters.md").read_text()
    assert "pyActiveLearn" in text
    assert "No package of that name" in text
