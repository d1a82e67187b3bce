import csv
import io

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits

from al_gym.errors import UnknownNameError
from al_gym.tasks.bundled import BUNDLED_FAMILIES, load_bundled

SHAPES = """name,items,features,classes,family
digits,1797,64,10,optdigits
breast_cancer,569,30,2,wisconsin-breast-cancer
wine,178,13,3,wine
iris,150,4,3,iris
"""


@pytest.mark.parametrize("row", list(csv.DictReader(io.StringIO(SHAPES))), ids=lambda row: row["name"])
def test_bundled_sets_have_their_known_shapes_and_families(row: dict[str, str]) -> None:
    dataset = load_bundled(row["name"])
    assert (dataset.n_items, dataset.n_features, dataset.n_classes) == tuple(
        int(row[key]) for key in ("items", "features", "classes")
    )
    assert dataset.family == row["family"] == BUNDLED_FAMILIES[row["name"]]
    assert dataset.modality == "tabular"


def test_bundled_rows_are_those_of_scikit_learn() -> None:
    np.testing.assert_array_equal(load_bundled("digits").X, load_digits().data)
    np.testing.assert_array_equal(load_bundled("breast_cancer").y, load_breast_cancer().target)
    assert load_bundled("breast_cancer").class_names == ("malignant", "benign")


def test_bundled_sets_are_loaded_once_and_cannot_be_written() -> None:
    assert load_bundled("iris") is load_bundled("iris")
    with pytest.raises(ValueError, match="read-only"):
        load_bundled("iris").X[0, 0] = 1.0


def test_unknown_bundled_name_lists_the_closest() -> None:
    with pytest.raises(UnknownNameError, match="'digits'"):
        load_bundled("digit")
