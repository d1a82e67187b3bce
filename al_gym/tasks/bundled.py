"""The four classification datasets that come inside scikit-learn: no download, no file."""

from __future__ import annotations

from functools import cache

from al_gym.errors import UnknownNameError
from al_gym.tasks.dataset import Dataset

#: Family of each bundled set. scikit-learn's digits are 1,797 rows of UCI optdigits and its breast cancer is WDBC,
#: so they carry the families under which those sets are known in data folders (see `al_gym.tasks.overlap`).
BUNDLED_FAMILIES = {
    "digits": "optdigits",
    "breast_cancer": "wisconsin-breast-cancer",
    "wine": "wine",
    "iris": "iris",
}


@cache
def load_bundled(name: str) -> Dataset:
    """One of scikit-learn's bundled sets: `digits`, `breast_cancer`, `wine` or `iris`.

    All four are `tabular` (the digits are counts of ink in 4 x 4 blocks, as in optdigits), float64, in the order of
    scikit-learn. The result is shared by all callers: its arrays are read-only.

    Raises:
        UnknownNameError: no such bundled set.
    """
    if name not in BUNDLED_FAMILIES:
        raise UnknownNameError("bundled dataset", name, BUNDLED_FAMILIES)
    import sklearn.datasets  # slow to import

    bunch = getattr(sklearn.datasets, f"load_{name}")()
    bunch.data.setflags(write=False)
    bunch.target.setflags(write=False)
    return Dataset(
        name,
        bunch.data,
        bunch.target,
        tuple(map(str, bunch.target_names)),
        family=BUNDLED_FAMILIES[name],
        source=f"sklearn.datasets.load_{name}",
    )
