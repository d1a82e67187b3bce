"""Crash-safe results of an evaluation: finished units on disk, results.csv assembled from them.

A unit is one policy on one dataset for some seeds. Each is one file, written beside its place and then moved
there, so that a killed evaluation keeps all finished units and never sees half of one.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from al_gym.errors import ParameterError, ResumeError
from al_gym.evaluation.files import (
    COLUMNS,
    OPTIONAL_COLUMNS,
    read_json,
    write_json,
    write_npz,
    write_results,
)
from al_gym.evaluation.queries import (
    CampaignQueries,
    pack_queries,
    pack_ragged,
    split_entries,
    table_entries,
    unit_entries,
    write_queries,
)

Tables = Mapping[str, tuple[NDArray[Any], NDArray[Any]]]
_NUMBERS = {
    "seed": np.int64,
    "round": np.int32,
    "n_labelled": np.int32,
    "test_accuracy": np.float64,
    "test_balanced_accuracy": np.float64,
    "batch": np.int32,
}
_ALL_NUMBERS = _NUMBERS | dict.fromkeys(OPTIONAL_COLUMNS, np.float64)
DECIMALS = 6  # of accuracies: 0.0001 point, two orders below the tie


@dataclass(frozen=True, order=True)
class Unit:
    """One policy on one dataset for some seeds: what is computed and stored at once."""

    dataset: str
    policy: str
    seeds: tuple[int, ...]

    @property
    def file_name(self) -> str:
        """Readable, safe on any file system, and unique through a digest of the unit."""
        digest = hashlib.sha256(json.dumps([self.dataset, self.policy, self.seeds]).encode()).hexdigest()[:12]
        words = [re.sub(r"[^A-Za-z0-9_.]+", "-", word)[:40] for word in (self.dataset, self.policy)]
        return f"{words[0]}--{words[1]}--{digest}.npz"


@dataclass(frozen=True)
class _Stored:
    path: Path
    unit: Unit
    exhausted: tuple[int, ...]
    strategies: tuple[str, ...]


class ResultStore:
    """The folder of one evaluation.

    Args:
        out: folder; made if absent.
        arguments: JSON-able; what decides the numbers. `arguments["policies"]` maps each policy's name to what it is.
        free: keys of `arguments` that may change at a restart because no number depends on them.

    Raises:
        ResumeError: the folder holds an evaluation with other arguments. Added policies are no difference.
    """

    def __init__(
        self, out: str | Path, arguments: Mapping[str, Any], *, free: Collection[str] = ("jobs", "backend")
    ) -> None:
        if not isinstance(arguments.get("policies"), Mapping) or not arguments["policies"]:
            raise ParameterError("arguments['policies'] must map at least one policy name to its text.")
        self.out = Path(out)
        self.arguments: dict[str, Any] = json.loads(json.dumps(dict(arguments)))
        self._units = self.out / "units"
        self._splits = self._units / "splits"
        self._check_restart(free)
        self._splits.mkdir(parents=True, exist_ok=True)
        for leftover in self._units.rglob("*.tmp"):
            leftover.unlink(missing_ok=True)
        write_json(self.out / "arguments.json", self.arguments)

    def _check_restart(self, free: Collection[str]) -> None:
        path = self.out / "arguments.json"
        if not path.exists():
            if (self.out / "results.csv").exists():
                raise ResumeError(f"{self.out} has a results.csv but no arguments.json; choose another folder.")
            return
        old = read_json(path)
        before, now = (_flatten({k: v for k, v in a.items() if k not in free}) for a in (old, self.arguments))
        added = set(self.arguments["policies"]) - set(old.get("policies", {}))
        changed = [key for key in sorted(before | now) if before.get(key, _ABSENT) != now.get(key, _ABSENT)]
        lines = [
            f"{'.'.join(key)}: {before.get(key, '(absent)')!r} before, {now.get(key, '(absent)')!r} now"
            for key in changed
            if not (key[0] == "policies" and key[1] in added)
        ]
        if lines:
            text = "\n  ".join(
                ["holds an evaluation with other arguments; use them again or choose another folder:", *lines]
            )
            raise ResumeError(f"{self.out} {text}")

    def _stored(self) -> list[_Stored]:
        """All finished units of the current policies, in the order of results.csv."""
        order = {name: i for i, name in enumerate(self.arguments["policies"])}
        found = []
        for path in self._units.glob("*.npz"):
            meta = _read_meta(path)
            unit = Unit(meta["dataset"], meta["policy"], tuple(meta["seeds"]))
            found.append(_Stored(path, unit, tuple(meta["exhausted"]), tuple(meta["strategies"])))
        return sorted(found, key=lambda s: (s.unit.dataset, order[s.unit.policy], s.unit.seeds))

    def missing(self, units: Iterable[Unit]) -> list[Unit]:
        """What is left of `units`: each without the seeds that are finished, whatever units they were finished in."""
        done = {(s.unit.dataset, s.unit.policy, seed) for s in self._stored() for seed in s.unit.seeds}
        left = (
            Unit(u.dataset, u.policy, tuple(s for s in u.seeds if (u.dataset, u.policy, s) not in done)) for u in units
        )
        return [unit for unit in left if unit.seeds]

    def add(
        self,
        unit: Unit,
        frame: pd.DataFrame,
        queries: Mapping[int, CampaignQueries] | None = None,
        *,
        exhausted: Collection[int] = (),
    ) -> None:
        """Store one finished unit; safe to call from any process.

        Args:
            unit: what was computed.
            frame: its rows with `COLUMNS`, one a round; round 0 has an empty strategy.
            queries: what each seed labelled; needed for queries.npz.
            exhausted: seeds whose pool ran out before the budget.

        Raises:
            ParameterError: the frame is not this unit's, or two policies had different splits.
        """
        _check_frame(unit, frame, self.arguments["policies"])
        rows = frame.sort_values(["seed", "round"], kind="stable")
        codes, names = pd.factorize(rows["strategy"].to_numpy(dtype=object), sort=True)
        numbers = {name: dtype for name, dtype in _ALL_NUMBERS.items() if name in rows.columns}
        meta = {
            "dataset": unit.dataset,
            "policy": unit.policy,
            "seeds": list(unit.seeds),
            "exhausted": sorted(exhausted),
        }
        arrays: dict[str, NDArray[Any]] = {
            "meta": np.array(json.dumps({**meta, "strategies": [str(name) for name in names]})),
            "strategy": codes.astype(np.int16),
            **{name: np.round(rows[name].to_numpy().astype(dtype), DECIMALS) for name, dtype in numbers.items()},
        }
        if queries is not None:
            _check_queries(unit, rows, queries)
            self._add_splits(unit, queries)
            arrays.update(pack_queries([queries[seed] for seed in unit.seeds]))
        write_npz(self._units / unit.file_name, arrays)

    def _add_splits(self, unit: Unit, queries: Mapping[int, CampaignQueries]) -> None:
        arrays = {
            "meta": np.array(json.dumps({"dataset": unit.dataset, "seeds": list(unit.seeds)})),
            **pack_ragged("pool", [queries[seed].pool for seed in unit.seeds]),
            **pack_ragged("test", [queries[seed].test for seed in unit.seeds]),
        }
        path = self._splits / Unit(unit.dataset, "split", unit.seeds).file_name
        if not path.exists():
            write_npz(path, arrays)
        with np.load(path) as known:
            if any(not np.array_equal(known[name], value) for name, value in arrays.items()):
                raise ParameterError(
                    f"Policy {unit.policy!r} had another split of {unit.dataset!r} than the policies before it."
                )

    def rows(self) -> pd.DataFrame:
        """All finished rows with `COLUMNS`, and the optional ones that were asked for; names are categorical.

        Ordered by dataset name, seed, policy (as in the arguments) and round.
        """
        stored = self._stored()
        policies, datasets = list(self.arguments["policies"]), sorted({s.unit.dataset for s in stored})
        strategies = sorted({name for s in stored for name in s.strategies})
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in (*COLUMNS, *OPTIONAL_COLUMNS)}
        for item in stored:
            with np.load(item.path) as file:
                for name in _ALL_NUMBERS:
                    if name in file:
                        parts[name].append(file[name])
                parts["strategy"].append(
                    np.array([strategies.index(name) for name in item.strategies], dtype=np.int32)[file["strategy"]]
                )
            size = len(parts["seed"][-1])
            parts["dataset"].append(np.full(size, datasets.index(item.unit.dataset), dtype=np.int32))
            parts["policy"].append(np.full(size, policies.index(item.unit.policy), dtype=np.int32))
        parts = {name: values for name, values in parts.items() if values or name in COLUMNS}
        columns = {name: np.concatenate(values) if values else np.empty(0, np.int32) for name, values in parts.items()}
        order = np.lexsort([columns[name] for name in ("round", "policy", "seed", "dataset")])
        names = {"dataset": datasets, "policy": policies, "strategy": strategies}
        frame = pd.DataFrame({name: values[order] for name, values in columns.items()})
        for name, categories in names.items():
            frame[name] = pd.Categorical.from_codes(frame[name].to_numpy(), pd.Index(categories, dtype=object))
        return frame

    def exhausted(self) -> list[str]:
        """Datasets with a finished campaign whose pool ran out before the budget."""
        return sorted({item.unit.dataset for item in self._stored() if item.exhausted})

    def finish(self, tables: Tables | None = None, *, save_queries: bool = False) -> pd.DataFrame:
        """Assemble results.csv (and queries.npz) from all finished units.

        Args:
            tables: datasets whose (X, y) no npz file holds as they were used; saved with the queries.
            save_queries: write queries.npz; every unit must have been added with its queries.

        Returns:
            The rows of results.csv.
        """
        rows = self.rows()
        write_results(self.out / "results.csv", rows)
        if save_queries:
            write_queries(self.out / "queries.npz", self._query_entries(tables or {}))
        return rows

    def _query_entries(self, tables: Tables) -> Iterator[tuple[str, NDArray[Any]]]:
        yield from table_entries(tables)
        known: dict[str, NDArray[Any]] = {}
        for path in sorted(self._splits.glob("*.npz")):
            meta = _read_meta(path)
            with np.load(path) as file:
                for name, rows in split_entries(meta["dataset"], meta["seeds"], file):
                    if not np.array_equal(known.setdefault(name, rows), rows):
                        raise ParameterError(f"Two policies had different splits: {name} differs between units.")
        yield from known.items()
        for item in self._stored():
            with np.load(item.path) as file:
                if "queries" not in file:
                    raise ParameterError(
                        f"Policy {item.unit.policy!r} on {item.unit.dataset!r} was stored without its queries."
                    )
                yield from unit_entries(item.unit.dataset, item.unit.policy, item.unit.seeds, file)


_ABSENT = object()


def _flatten(value: Any, prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if isinstance(value, Mapping) and value:
        return {k: v for key, inner in value.items() for k, v in _flatten(inner, (*prefix, str(key))).items()}
    return {prefix: value}


def _read_meta(path: Path) -> dict[str, Any]:
    try:
        with np.load(path) as file:
            return dict(json.loads(str(file["meta"])))
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
        raise ResumeError(
            f"{path} is damaged ({error}); delete it and start again: only this unit is computed anew."
        ) from error


def _check_frame(unit: Unit, frame: pd.DataFrame, policies: Collection[str]) -> None:
    where = f"Unit {unit.dataset}, {unit.policy}"
    absent = [name for name in COLUMNS if name not in frame.columns]
    if absent:
        raise ParameterError(f"{where}: the frame lacks the column {absent[0]!r}.")
    if unit.policy not in policies:
        raise ParameterError(f"{where}: this policy is not among the arguments' policies {', '.join(policies)}.")
    for name, expected in (("dataset", {unit.dataset}), ("policy", {unit.policy}), ("seed", set(unit.seeds))):
        if set(frame[name]) != expected or len(set(unit.seeds)) != len(unit.seeds):
            raise ParameterError(f"{where}: column {name!r} must hold {expected}, got {set(frame[name])}.")
    rows = frame.sort_values(["seed", "round"])
    grouped = rows.groupby("seed")
    if (rows["round"] != grouped.cumcount()).any():
        raise ParameterError(f"{where}: the rounds of a seed must be 0, 1, 2, ..., each once.")
    if (rows["n_labelled"] != grouped["batch"].cumsum()).any() or (rows["batch"] < 1).any():
        raise ParameterError(f"{where}: n_labelled must be the sum of the batches so far, and a batch at least 1.")
    if ((rows["strategy"] == "") != (rows["round"] == 0)).any():
        raise ParameterError(f"{where}: the strategy must be empty in round 0 and nowhere else.")
    for name in ("test_accuracy", "test_balanced_accuracy", *OPTIONAL_COLUMNS):
        if name in rows and not rows[name].between(0, 1).all():
            raise ParameterError(f"{where}: {name} must lie in [0, 1].")


def _check_queries(unit: Unit, rows: pd.DataFrame, queries: Mapping[int, CampaignQueries]) -> None:
    for seed in unit.seeds:
        if seed not in queries:
            raise ParameterError(f"Unit {unit.dataset}, {unit.policy}: no queries for seed {seed}.")
        labelled = rows.loc[rows["seed"] == seed, "n_labelled"].to_numpy()
        if not np.array_equal(labelled, queries[seed].offsets):
            raise ParameterError(f"Unit {unit.dataset}, {unit.policy}, seed {seed}: offsets differ from n_labelled.")
