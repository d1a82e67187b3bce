"""The wheel holds al_gym and nothing else; installed metadata is what the README promises."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel built from the source tree, with the build backend that is installed here (no download)."""
    out = tmp_path_factory.mktemp("wheel")
    build = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert build.returncode == 0, build.stderr
    (path,) = out.glob("*.whl")
    return zipfile.ZipFile(path)


def source_files(repository: Path) -> set[str]:
    files = (path for path in (repository / "al_gym").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(repository).as_posix() for path in files if path.suffix not in {".nbi", ".nbc", ".pyc"}}


def test_wheel_holds_al_gym_only(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"al_gym", "al_gym-0.1.0.dist-info"}


def test_wheel_holds_every_module_and_data_file(wheel: zipfile.ZipFile, repository: Path) -> None:
    packed = {name for name in wheel.namelist() if name.startswith("al_gym/")}
    assert packed == source_files(repository)
    assert "al_gym/py.typed" in packed


def test_wheel_ships_the_policies(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    for folder in ("shipped", "shipped_round_cost"):
        assert {f"al_gym/policies/{folder}/policy.{kind}" for kind in ("json", "safetensors")} <= set(names)


def test_wheel_metadata(wheel: zipfile.ZipFile) -> None:
    metadata = wheel.read("al_gym-0.1.0.dist-info/METADATA").decode()
    assert "Requires-Python: >=3.11" in metadata
    assert "License-Expression: MIT" in metadata
    assert "al-gym = al_gym.cli:main" in wheel.read("al_gym-0.1.0.dist-info/entry_points.txt").decode()


def test_dependencies_have_lower_bounds_only(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    capped = [item for item in project["dependencies"] if "<" in item or "==" in item or ">=" not in item]
    assert capped == []


def test_library_does_not_import_agents(repository: Path) -> None:
    """The wheel has no `agents`, so an import of it would fail for everyone who installs from an index."""
    sources = {path: path.read_text() for path in (repository / "al_gym").rglob("*.py")}
    guilty = [
        f"{path}:{number}"
        for path, text in sources.items()
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip().startswith(("import agents", "from agents"))
    ]
    assert guilty == []


def test_console_script_runs() -> None:
    script = Path(sys.executable).parent / "al-gym"
    run = subprocess.run([str(script), "list"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "margin" in run.stdout
