"""Strategies outside the package: by reference to Python code and by entry point."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

import al_gym
from al_gym.envs.engine import Settings
from al_gym.errors import ParameterError, PolicyError, UnknownNameError
from al_gym.policies.agent import AgentSpec
from al_gym.policies.learned import SPEC, LearnedPolicy
from al_gym.policies.network import Network
from al_gym.strategies import make_strategy
from al_gym.strategies.references import is_reference, registered_only

MODULE = '''
from al_gym.strategies import ScoreStrategy


class Confident(ScoreStrategy):
    """The largest probability: a bad idea, and easy to recognise."""

    name = "confident"

    def __init__(self, *, power: float = 1.0) -> None:
        self.power = power

    def score(self, view):
        return view.top1**self.power


class Nameless(Confident):
    name = ""


READY = Confident(power=2.0)
NUMBER = 3


def function() -> None:
    raise AssertionError("never called")
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module on Python's path that holds strategies, under a name of its own for each test."""
    name = f"own_strategies_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("module:Attribute", True),
        ("package.module:Outer.Inner", True),
        ("module:Attribute:power=2", True),
        ("margin", False),
        ("uherding:power=2", False),
        ("runs/folder", False),
        ("C:\\folder", False),
        ("subset:strategy=my:Strategy", False),
    ],
)
def test_what_a_reference_looks_like(spec: str, expected: bool) -> None:
    assert is_reference(spec) is expected


def test_a_class_a_ready_strategy_and_parameters(module: str) -> None:
    assert make_strategy(f"{module}:Confident").power == 1.0  # type: ignore[attr-defined]
    assert make_strategy(f"{module}:Confident:power=3").power == 3  # type: ignore[attr-defined]
    assert make_strategy(f"{module}:READY").power == 2.0  # type: ignore[attr-defined]
    inner = make_strategy(f"subset:strategy={module}:Confident:power=3,candidates=7").strategy  # type: ignore[attr-defined]
    assert (inner.name, inner.power) == ("confident", 3)


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("Nameless", "no name"),
        ("READY:power=3", "takes no parameters"),
        ("NUMBER", "is 3, not a strategy"),
        ("function", "not a strategy or its class"),
        ("Absent", "has no attribute 'Absent'"),
        ("Confident:power", "not of the form key=value"),
    ],
)
def test_references_to_something_else(module: str, attribute: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        make_strategy(f"{module}:{attribute}")
    with pytest.raises(UnknownNameError, match="power"):
        make_strategy(f"{module}:Confident:powr=2")


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(ParameterError, match=r"No module named 'absent_module'.*PYTHONPATH"):
        make_strategy("absent_module:Strategy")


def test_in_an_environment_and_in_an_evaluation(module: str) -> None:
    spec = f"{module}:Confident:power=2"
    rng = np.random.default_rng(0)
    data = al_gym.Dataset.from_arrays("made-up", rng.standard_normal((150, 3)), rng.integers(3, size=150))
    env = gym.make("al_gym/Strategy-v0", tasks=data, strategies=["margin", spec], budget=10, pool_size=60)
    env.reset(seed=0)
    _, _, terminated, _, info = env.step(1)
    assert not terminated and info["strategy"] == 1
    policies = [spec, f"b={spec},batch=2", f"plain={module}:Confident"]
    rows = al_gym.evaluate(policies, tasks=data, seeds=1, rounds=2, jobs=1).results
    assert set(rows["policy"]) == {spec, "b", "plain"}
    assert set(rows.loc[rows["round"] > 0, "strategy"]) == {"confident"}
    assert set(rows.loc[(rows["policy"] == "b") & (rows["round"] > 0), "batch"]) == {2}


def untrained(strategies: tuple[str, ...]) -> LearnedPolicy:
    """A policy that chooses among `strategies` by a random network."""
    spec = AgentSpec.of_settings("al_gym/Strategy-v0", Settings(strategies=strategies))
    width = len(spec.observation_names)
    layer = {"mlp.0.weight": torch.ones(len(strategies), width), "mlp.0.bias": torch.zeros(len(strategies))}
    return LearnedPolicy(spec, Network(layer))


def test_a_policy_file_imports_nothing_unless_trusted(module: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    untrained(("margin", "random")).save(folder)
    content = json.loads((folder / SPEC).read_text())
    for hostile in (f"{module}:Confident", f"subset:strategy={module}:Confident"):
        (folder / SPEC).write_text(json.dumps(content | {"strategies": ["margin", hostile]}))
        with pytest.raises(PolicyError, match=r"trusted=True"):
            al_gym.load_policy(folder)
    assert module not in sys.modules
    policy = al_gym.load_policy(folder, trusted=True)
    assert policy.strategies[1].strategy.name == "confident"  # type: ignore[attr-defined]
    with registered_only():
        assert make_strategy("subset:strategy=margin").name == "subset"


def run(code: str, folder: Path) -> str:
    """Output of `code` in a fresh interpreter that has `folder` on its path."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def installed(folder: Path, entry_points: str) -> None:
    """Metadata of an installed distribution with these entry points."""
    info = folder / "own_strategies-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-strategies\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[al_gym.strategies]\n{entry_points}\n")


def test_installed_strategies_have_names(tmp_path: Path) -> None:
    (tmp_path / "own_strategies.py").write_text(MODULE)
    installed(tmp_path, "confident = own_strategies:Confident\nbroken = own_strategies:Absent")
    out = run(
        """
        import al_gym
        from al_gym.strategies import make_strategy
        print(al_gym.list_strategies()["confident"])
        print(make_strategy("confident:power=4").power, "broken" in al_gym.list_strategies())
        """,
        tmp_path,
    )
    assert "The largest probability: a bad idea, and easy to recognise.\n4 False" in out
    assert re.search("'broken' of an installed package cannot be loaded", out)


@pytest.mark.slow
def test_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "own_strategies.py").write_text(MODULE)
    command = "evaluate --policy own_strategies:Confident --policy margin --tasks bundled --seeds 1 --rounds 2 --jobs 1"
    run(f"from al_gym.cli import main; main({[*command.split(), '--out', str(tmp_path / 'out')]!r})", tmp_path)
    assert ",confident,5" in (tmp_path / "out" / "results.csv").read_text()
