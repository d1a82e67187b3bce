"""What `import al_gym` gives: environments, names, and nothing heavy."""

import inspect
import subprocess
import sys

import gymnasium
import pytest

import al_gym

PROMISED = [
    "load_policy",
    "evaluate",
    "make_sb3_vec_env",
    "list_strategies",
    "list_learners",
    "list_suites",
    "list_policies",
]


def test_import_registers_the_environments_and_is_light():
    code = (
        "import sys, al_gym, gymnasium\n"
        "print(sorted(id for id in gymnasium.registry if id.startswith('al_gym/')))\n"
        "print([name for name in ('torch', 'sklearn', 'pandas', 'stable_baselines3', 'numba') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    ids, heavy = run.stdout.strip().splitlines()
    for name in ("Strategy-v0", "Budget-v0", "StrategyBudget-v0"):
        assert f"'al_gym/{name}'" in ids
    assert heavy == "[]"


@pytest.mark.parametrize("name", al_gym.__all__)
def test_every_public_name_exists(name):
    value = getattr(al_gym, name)
    assert name in dir(al_gym)
    if name != "__version__":
        assert inspect.getdoc(value), f"al_gym.{name} has no docstring"


def test_promised_names_are_public():
    assert set(PROMISED) <= set(al_gym.__all__)
    assert al_gym.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no_such_name"):
        al_gym.no_such_name  # noqa: B018


@pytest.mark.parametrize("kind", ["strategies", "learners", "suites", "policies"])
def test_lists_are_names_with_one_line(kind):
    listed = getattr(al_gym, f"list_{kind}")()
    assert listed
    for name, line in listed.items():
        assert line.strip(), f"{name} has no description"
        assert "\n" not in line


def test_registering_twice_is_harmless():
    from al_gym.envs.registration import register_environments

    before = dict(gymnasium.registry)
    register_environments()
    assert dict(gymnasium.registry) == before


def test_the_example_of_the_contract():
    result = al_gym.evaluate(
        {"mine": al_gym.load_policy("switch"), "margin": "margin"}, tasks="synthetic-small", seeds=1, rounds=2, jobs=1
    )
    assert list(result.summary["policies"]) == ["mine", "margin"]
    assert set(result.results["policy"]) == {"mine", "margin"}
