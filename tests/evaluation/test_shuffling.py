"""Shuffled observations: another dataset's, of the same round, and nothing else about the policy changes."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from sample_data import blobs, write_folder

import al_gym
from al_gym.errors import ParameterError, PolicyError
from al_gym.evaluation.shuffling import Recording, Shuffled, draw_donors
from al_gym.policies import load_policy
from al_gym.streams import task_key

DATASETS = [
    blobs(name, n=150, seed=number, classes=classes)
    for number, (name, classes) in enumerate([("a", 2), ("b", 3), ("c", 5)])
]
REGIME = {"rounds": 3, "pool_size": 60, "jobs": 1}


def recorded(seeds=2):
    recording = Recording(load_policy("shipped"))
    result = al_gym.evaluate({"p": recording}, tasks=DATASETS, seeds=seeds, **REGIME)
    return recording, result


def test_recording_changes_nothing_and_keeps_one_observation_a_round():
    recording, result = recorded()
    plain = al_gym.evaluate({"p": "shipped"}, tasks=DATASETS, seeds=2, **REGIME)
    assert result.results.equals(plain.results)
    keys = {task_key(dataset.content_hash, seed) for dataset in DATASETS for seed in (0, 1)}
    assert set(recording.recorded) == keys
    assert {len(rounds) for rounds in recording.recorded.values()} == {3}


def test_donors_are_other_datasets_and_every_dataset_gives_once_a_seed():
    donors = draw_donors(DATASETS, [4, 5, 6], [4, 5])
    assert donors == draw_donors(DATASETS, [4, 5, 6], [4, 5])
    for own, donor in ((4, 4), (5, 5), (6, 4)):
        keys = {task_key(d.content_hash, own): d.name for d in DATASETS}
        givers = {task_key(d.content_hash, donor): d.name for d in DATASETS}
        pairs = [(name, givers[donors[key]]) for key, name in keys.items()]
        assert all(receiver != giver for receiver, giver in pairs)
        assert sorted(giver for _, giver in pairs) == ["a", "b", "c"]
    with pytest.raises(ParameterError, match="two datasets"):
        draw_donors(DATASETS[:1], [0], [0])


def test_a_shuffled_policy_sees_the_donors_observation_of_the_round():
    recording, _ = recorded()
    donors = draw_donors(DATASETS, [0, 1], [0, 1])
    seen = Recording(load_policy("shipped"))
    al_gym.evaluate({"p": Shuffled(seen, recording.recorded, donors)}, tasks=DATASETS, seeds=2, **REGIME)
    for key, giver in donors.items():
        assert np.array_equal(seen.recorded[key], recording.recorded[giver])
        assert not np.array_equal(seen.recorded[key], recording.recorded[key])


def test_shown_its_own_observations_a_policy_does_what_it_did():
    recording, result = recorded()
    same = Shuffled(load_policy("shipped"), recording.recorded, {key: key for key in recording.recorded})
    again = al_gym.evaluate({"p": same}, tasks=DATASETS, seeds=2, **REGIME)
    assert again.results.equals(result.results)


def test_a_policy_without_an_observation_is_refused():
    with pytest.raises(PolicyError, match="nothing to shuffle"):
        Recording(load_policy("margin"))


def test_the_script_repeats_the_regime_of_a_folder(tmp_path, repository: Path):
    spec = importlib.util.spec_from_file_location("shuffle_ablation", repository / "benchmarks" / "shuffle_ablation.py")
    script = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = script
    spec.loader.exec_module(script)
    data = write_folder(tmp_path / "data", **{dataset.name: dataset for dataset in DATASETS})
    given = REGIME | {"seeds": 3, "label_noise": 0.2, "metric": "balanced-accuracy", "learner": "softmax:C=0.5"}
    plain = al_gym.evaluate(["shipped", "margin"], data=data, out=tmp_path / "out", **given)
    out = script.ablate(load_policy("shipped"), tmp_path / "out", donor_seeds=2, jobs=1)
    rows = al_gym.evaluate({"shipped": "shipped"}, data=data, **given).results
    shuffled = (out / "results.csv").read_text().splitlines()
    assert len(shuffled) == 1 + len(rows)
    first = [line.split(",")[5] for line in shuffled[1:] if line.split(",")[3] == "0"]
    start = plain.results.query("policy == 'shipped' and round == 0")["test_accuracy"]
    np.testing.assert_allclose([float(value) for value in first], start, atol=1e-6)  # same splits, seeds, learner
