"""queries.npz: the contract's names, assembled from units, refused when impossible."""

from __future__ import annotations

import numpy as np
import pytest

from al_gym.errors import ParameterError
from al_gym.evaluation.queries import CampaignQueries, pack_ragged, unpack_ragged, write_queries
from al_gym.evaluation.results import ResultStore, Unit

from .made_up import made_up_rows

ARGUMENTS = {"policies": {"p": "margin", "q": "random"}}


def campaign(seed, policy, noisy=False):
    """3 + 4 * 5 queries out of a pool of 30; the split depends on the seed only."""
    rows = np.random.default_rng(seed).permutation(50)
    queries = np.random.default_rng([seed, len(policy), ord(policy[0])]).permutation(rows[:30])[:23]
    labels = queries % 3 if noisy else None
    return CampaignQueries(rows[:30], rows[30:], queries, [3, 8, 13, 18, 23], labels)


def add(store, unit, rows, campaigns):
    mine = rows[(rows["dataset"] == unit.dataset) & (rows["policy"] == unit.policy) & rows["seed"].isin(unit.seeds)]
    store.add(unit, mine, campaigns)


def test_every_array_of_the_contract_is_there(tmp_path):
    rows = made_up_rows(datasets=("iris", "split"))
    store = ResultStore(tmp_path, ARGUMENTS)
    chunks = {"p": ((0, 1), (2,)), "q": ((0,), (1, 2))}  # another cut for another policy
    for dataset in ("iris", "split"):
        for policy, parts in chunks.items():
            for seeds in parts:
                add(store, Unit(dataset, policy, seeds), rows, {s: campaign(s, policy) for s in seeds})
    X, y = np.eye(50, 2), np.array(["no", "yes"] * 25)
    store.finish({"iris": (X, y)}, save_queries=True)
    with np.load(tmp_path / "queries.npz", allow_pickle=False) as found:
        names = set(found.files)
        for dataset in ("iris", "split"):
            for seed in (0, 1, 2):
                for policy in ("p", "q"):
                    expected = campaign(seed, policy)
                    for kind in ("queries", "offsets"):
                        name = f"{dataset}/{seed}/{policy}/{kind}"
                        np.testing.assert_array_equal(found[name], getattr(expected, kind))
                        names.remove(name)
                for kind in ("pool", "test"):
                    np.testing.assert_array_equal(found[f"{dataset}/{seed}/{kind}"], getattr(expected, kind))
                    names.remove(f"{dataset}/{seed}/{kind}")
        np.testing.assert_array_equal(found["iris/X"], X)
        np.testing.assert_array_equal(found["iris/y"], y)
    assert names == {"iris/X", "iris/y"}


def test_revealed_labels_are_kept_under_noise(tmp_path):
    rows = made_up_rows(datasets=("a",))
    store = ResultStore(tmp_path, {"policies": {"p": "margin"}})
    add(store, Unit("a", "p", (0, 1, 2)), rows, {s: campaign(s, "p", noisy=True) for s in (0, 1, 2)})
    store.finish(save_queries=True)
    with np.load(tmp_path / "queries.npz") as found:
        np.testing.assert_array_equal(found["a/1/p/labels"], campaign(1, "p").queries % 3)


def test_policies_must_share_their_splits(tmp_path):
    rows = made_up_rows()
    store = ResultStore(tmp_path, ARGUMENTS)
    add(store, Unit("a", "p", (0, 1)), rows, {s: campaign(s, "p") for s in (0, 1)})
    with pytest.raises(ParameterError, match="another split"):
        add(store, Unit("a", "q", (0, 1)), rows, {0: campaign(1, "q"), 1: campaign(0, "q")})
    add(store, Unit("a", "q", (0,)), rows, {0: campaign(1, "q")})  # another chunk: found when assembled
    with pytest.raises(ParameterError, match="different splits"):
        store.finish(save_queries=True)


def test_queries_must_fit_the_rows(tmp_path):
    rows = made_up_rows()
    store = ResultStore(tmp_path, ARGUMENTS)
    good = campaign(0, "p")
    wrong = CampaignQueries(good.pool, good.test, good.queries, [4, 8, 13, 18, 23])
    with pytest.raises(ParameterError, match="offsets"):
        add(store, Unit("a", "p", (0,)), rows, {0: wrong})
    with pytest.raises(ParameterError, match="seed 1"):
        add(store, Unit("a", "p", (0, 1)), rows, {0: good})
    add(store, Unit("a", "p", (0,)), rows, None)
    with pytest.raises(ParameterError, match="without its queries"):
        store.finish(save_queries=True)
    assert not (tmp_path / "queries.npz").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queries": [0, 0, 1]}, "twice"),
        ({"queries": [0, 1, 9]}, "not in the pool"),
        ({"test": [3, 4]}, "overlap"),
        ({"offsets": [1, 2]}, "Offsets"),
        ({"offsets": [1, 1, 3]}, "Offsets"),
        ({"labels": [0, 1]}, "2 revealed labels"),
    ],
)
def test_impossible_queries_are_refused(change, message):
    good = {"pool": [0, 1, 2, 3], "test": [4, 5], "queries": [2, 0, 1], "offsets": [1, 3]}
    assert CampaignQueries(**good).offsets.tolist() == [1, 3]
    with pytest.raises(ParameterError, match=message):
        CampaignQueries(**{**good, **change})


def test_ragged_arrays_come_back():
    parts = [np.arange(3), np.arange(0), np.arange(5)]
    back = unpack_ragged("x", pack_ragged("x", parts))
    assert [part.tolist() for part in back] == [part.tolist() for part in parts]


def test_written_files_are_equal_byte_for_byte_and_hold_no_pickle(tmp_path):
    entries = [("a/X", np.eye(3)), ("a/y", np.array(["u", "v", "w"]))]
    for name in ("one.npz", "two.npz"):
        write_queries(tmp_path / name, iter(entries))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with pytest.raises(ParameterError, match="dtype object"):
        write_queries(tmp_path / "bad.npz", [("a/y", np.array(["u", 1], dtype=object))])
    with pytest.raises(ParameterError, match="twice"):
        write_queries(tmp_path / "bad.npz", [*entries, entries[0]])
    assert not (tmp_path / "bad.npz").exists()
