"""The runner: same splits for all, results that depend neither on chunks, processes nor restarts."""

import numpy as np
import pandas as pd
import pytest
from sample_data import blobs

from al_gym.errors import DatasetError, MissingExtraError, ParameterError, TaskError, UnknownNameError
from al_gym.evaluation import runner
from al_gym.evaluation.api import evaluate
from al_gym.evaluation.results import ResultStore
from al_gym.evaluation.runner import Regime, plan
from al_gym.policies import FixedStrategy, load_policy
from al_gym.strategies import make_strategy
from al_gym.tasks.distribution import TaskDistribution
from al_gym.tasks.task import make_task

SMALL = {"rounds": 4, "pool_size": 80, "test_size": 60, "jobs": 1}
POLICIES = ["margin", "badge", "switch", "random-strategy"]


def two_sets():
    return [blobs("near"), blobs("far", n=220, d=9, classes=4, seed=1)]


def columns(result):
    return result.results.astype({"dataset": str, "policy": str, "strategy": str})


def test_a_fixed_strategy_is_a_plain_loop_over_the_campaign():
    from al_gym.campaign import Campaign

    result = evaluate(["margin"], tasks=two_sets(), seeds=2, seed=5, **SMALL)
    for dataset in two_sets():
        for seed in (5, 6):
            task = make_task(dataset, seed, pool_size=80, test_size=60)
            campaign, slot = Campaign(1), np.array([0])
            campaign.load(slot, [task], [20])
            expected = [(len(task.seed_set), campaign.accuracy(slot)[0], campaign.accuracy(slot, balanced=True)[0])]
            for _ in range(4):
                campaign.reveal(
                    slot, campaign.select(slot, [make_strategy("margin")], np.zeros(1, np.int64), np.array([5]))
                )
                scores = campaign.accuracy(slot)[0], campaign.accuracy(slot, balanced=True)[0]
                expected.append((campaign.n_labelled(slot)[0], *scores))
            rows = result.results.query("dataset == @dataset.name and seed == @seed")
            found = rows[["n_labelled", "test_accuracy", "test_balanced_accuracy"]].to_numpy()
            assert np.allclose(found, np.array(expected), atol=1e-6)
            assert rows["strategy"].tolist() == ["", *["margin"] * 4]
            assert rows["batch"].tolist() == [len(task.seed_set), 5, 5, 5, 5]


def test_all_policies_have_the_same_split_and_seed_set(tmp_path):
    evaluate(POLICIES, tasks=two_sets(), seeds=2, out=tmp_path, save_queries=True, **SMALL)
    with np.load(tmp_path / "queries.npz") as saved:
        for name in ("near", "far"):
            for seed in ("0", "1"):
                queries = [saved[f"{name}/{seed}/{policy}/queries"] for policy in POLICIES]
                seeds = saved[f"{name}/{seed}/margin/offsets"][0]
                assert all(np.array_equal(q[:seeds], queries[0][:seeds]) for q in queries)
                assert len({tuple(q) for q in queries}) == len(POLICIES)
        assert not np.array_equal(saved["near/0/pool"], saved["near/1/pool"])
    rows = pd.read_csv(tmp_path / "results.csv", keep_default_na=False).query("round == 0")
    assert (rows.groupby(["dataset", "seed"])["test_accuracy"].nunique() == 1).all()


def test_results_do_not_depend_on_how_seeds_are_chunked(monkeypatch):
    whole = evaluate(POLICIES, tasks=two_sets(), seeds=4, **SMALL)
    monkeypatch.setattr(runner, "MEMORY", 1)  # one seed at a time
    single = evaluate(POLICIES, tasks=two_sets(), seeds=4, **SMALL)
    assert columns(whole).equals(columns(single))
    monkeypatch.setattr(runner, "SEEDS_AT_ONCE", 3)
    backwards = evaluate(POLICIES[::-1], tasks=two_sets()[::-1], seeds=4, **SMALL)
    order = ["dataset", "seed", "policy", "round"]
    frames = [columns(result).sort_values(order, ignore_index=True) for result in (whole, backwards)]
    assert frames[0].equals(frames[1])


def test_two_processes_give_what_one_gives():
    one = evaluate(POLICIES, tasks=two_sets(), seeds=3, **SMALL)
    two = evaluate(POLICIES, tasks=two_sets(), seeds=3, **(SMALL | {"jobs": 2}))
    assert columns(one).equals(columns(two))


class Always(FixedStrategy):
    """Chooses among several strategies, always the same one."""

    def __init__(self, names, index):
        super().__init__(make_strategy("margin"))
        self.strategies = tuple(make_strategy(name) for name in names)
        self.index = index

    def act(self, context):
        for strategy in self.strategies:  # proposals that are not used change nothing
            for _, view in context.views:
                strategy.select(view, view.n_labelled * 0 + 3, view.stream(strategy.name))
        return context.choice(np.full(len(context), self.index))


@pytest.mark.parametrize("index", [0, 1, 2])
def test_always_answering_a_strategy_is_that_strategy(index):
    names = ["random", "badge", "margin"]
    result = evaluate({"always": Always(names, index), "fixed": names[index]}, tasks=[blobs()], seeds=3, **SMALL)
    always, fixed = (columns(result).query("policy == @p").drop(columns="policy") for p in ("always", "fixed"))
    assert always.reset_index(drop=True).equals(fixed.reset_index(drop=True))


def test_budget_share_caps_the_budget_and_the_last_batch_is_clipped():
    result = evaluate(["margin", "margin:batch=7"], tasks=[blobs()], seeds=2, max_budget_share=0.2, **SMALL)
    assert result.summary["budgets"] == {"blobs": 16}
    for policy, batches in {"margin": [5, 5, 5, 1], "margin:batch=7": [7, 7, 2]}.items():
        rows = result.results.query("seed == 1 and round > 0")
        assert rows.loc[rows["policy"] == policy, "batch"].tolist() == batches
    assert result.summary["exhausted"] == []


def test_a_pool_that_runs_out_ends_and_is_marked():
    result = evaluate(
        ["margin", "random"], tasks=[blobs("tiny", n=40), blobs("large")], seeds=2, **(SMALL | {"rounds": 8})
    )
    assert result.summary["exhausted"] == ["tiny"]
    ends = result.results.groupby(["dataset", "seed", "policy"], observed=True)["n_labelled"].max()
    assert (ends["tiny"] == 24).all()
    assert (ends["large"] == 43).all()


def test_a_dataset_that_is_too_small_is_left_out_or_stops():
    sets = [blobs("small", n=12), blobs("good")]
    result = evaluate(["margin"], tasks=sets, seeds=2, **SMALL)
    assert set(result.results["dataset"]) == {"good"}
    assert "fewer items than the seed set and one batch" in result.summary["skipped"]["small"]
    with pytest.raises(DatasetError, match="small"):
        evaluate(["margin"], tasks=sets, seeds=2, strict=True, **SMALL)
    with pytest.raises(DatasetError, match="no dataset can be used"):
        evaluate(["margin"], tasks=sets[:1], seeds=2, **SMALL)


def test_noise_is_in_the_answers_and_not_in_the_test(tmp_path):
    evaluate(["random"], tasks=[blobs()], seeds=2, label_noise=0.4, out=tmp_path, save_queries=True, **SMALL)
    y = blobs().y
    with np.load(tmp_path / "queries.npz") as saved:
        labels = np.concatenate([saved[f"blobs/{seed}/random/labels"] for seed in (0, 1)])
        asked = np.concatenate([saved[f"blobs/{seed}/random/queries"] for seed in (0, 1)])
    assert 0.2 < (labels != y[asked]).mean() < 0.6


@pytest.mark.parametrize(
    "bad",
    [
        {"seeds": 0},
        {"rounds": -1},
        {"batch_size": 2.5},
        {"initial": "per_class"},
        {"initial": 0},
        {"max_budget_share": 0.0},
        {"label_noise": 1.0},
        {"scaling": "minmax"},
        {"seed": -1},
    ],
)
def test_impossible_arguments_are_refused(bad):
    with pytest.raises(ParameterError, match=next(iter(bad))):
        Regime(**bad)
    with pytest.raises(UnknownNameError, match="softmax"):
        Regime(learner="softmaks")


def test_jobs_are_small_enough_for_all_workers(tmp_path):
    tasks = TaskDistribution([blobs(f"set{i}") for i in range(4)])
    regime = Regime(seeds=30)
    store = ResultStore(tmp_path, {"policies": {"a": "margin"}})
    for jobs, size in ((1, 10), (4, 8)):
        todo = plan(tasks, ["a"], regime, store, jobs)
        assert max(len(seeds) for job in todo for _, seeds in job.work) == size
        for name in tasks.names:
            seeds = [seed for job in todo if job.dataset == name for _, part in job.work for seed in part]
            assert sorted(seeds) == list(range(30))


def test_memory_bounds_the_seeds_at_once():
    task = make_task(blobs(n=2500, d=700, classes=10), 0, pool_size=500, test_size=1500)
    bytes_each = runner._bytes(task, 100)
    chunks = list(runner._chunks(list(range(30)), task, 100))
    assert [seed for chunk in chunks for seed in chunk] == list(range(30))
    assert max(len(chunk) for chunk in chunks) * bytes_each <= runner.MEMORY
    arrays = task.arrays()
    assert bytes_each > arrays[0].nbytes + arrays[1].nbytes


@pytest.mark.slow
def test_ray_gives_what_one_process_gives():
    pytest.importorskip("ray")
    one = evaluate(["badge"], tasks=two_sets(), seeds=3, **SMALL)
    ray = evaluate(["badge"], tasks=two_sets(), seeds=3, backend="ray", **(SMALL | {"jobs": 2}))
    assert columns(one).equals(columns(ray))


def test_a_missing_backend_says_how_to_install_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ray.util.joblib", None)
    with pytest.raises(MissingExtraError, match="ray"):
        evaluate(["margin"], tasks=[blobs()], seeds=1, backend="ray", **SMALL)
    with pytest.raises(UnknownNameError, match="loky"):
        evaluate(["margin"], tasks=[blobs()], seeds=1, backend="loki", **SMALL)


def test_other_learners_arguments_are_passed():
    weak = evaluate(["margin"], tasks=[blobs()], seeds=2, learner="softmax:C=0.001", **SMALL)
    strong = evaluate(["margin"], tasks=[blobs()], seeds=2, **SMALL)
    assert weak.summary["arguments"]["learner"]["C"] == 0.001
    assert strong.summary["arguments"]["learner"] == {"name": "softmax", "C": 1.0} | {
        key: strong.summary["arguments"]["learner"][key] for key in ("tol", "max_iter")
    }
    assert not columns(weak).equals(columns(strong))


def test_task_errors_name_what_is_missing():
    with pytest.raises(TaskError, match="budget share"):
        Regime(seeds=1, max_budget_share=0.01).make_tasks(blobs(n=60))
    assert load_policy("margin").fingerprint() == "margin"
