"""The exported policy under scikit-activeml's own tests of query strategies.

They are in its repository, not in its package: `AL_GYM_SKACTIVEML_SOURCE=FOLDER` names a checkout. What they check is
also checked, in our own words, by `test_skactiveml.py`, which runs everywhere.
"""

from __future__ import annotations

import os
import unittest
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

skactiveml = pytest.importorskip("skactiveml", reason="scikit-activeml is not installed")
SOURCE = os.environ.get("AL_GYM_SKACTIVEML_SOURCE", "")
if not SOURCE:
    pytest.skip("needs a checkout: AL_GYM_SKACTIVEML_SOURCE=FOLDER", allow_module_level=True)
skactiveml.__path__.append(str(Path(SOURCE) / "skactiveml"))

from skactiveml.classifier import SklearnClassifier  # noqa: E402
from skactiveml.tests import template_query_strategy as template  # noqa: E402
from skactiveml.utils import MISSING_LABEL  # noqa: E402

from al_gym.integrations.skactiveml import PolicyQueryStrategy  # noqa: E402


class TestPolicyQueryStrategy(template.TemplateSingleAnnotatorPoolQueryStrategy, unittest.TestCase):
    def setUp(self) -> None:
        self.classes = [0, 1]
        rng = np.random.default_rng(0)
        X, y = rng.standard_normal((12, 2)), np.full(12, MISSING_LABEL)
        y[:4] = [0, 1, 0, 1]
        model = SklearnClassifier(LogisticRegression(random_state=0), classes=self.classes, random_state=0)
        super().setUp(
            qs_class=PolicyQueryStrategy,
            init_default_params={"policy": "margin", "classes": self.classes, "budget": 50},
            query_default_params_clf={"X": X, "y": y, "clf": model},
        )

    def test_init_param_policy(self) -> None:
        self._test_param("init", "policy", [("marginn", ValueError), (3, ValueError), ("kcenter", None)])

    def test_init_param_classes(self) -> None:
        self._test_param("init", "classes", [(None, ValueError), ([0], ValueError), ([1, 0], None), ([0, 1, 2], None)])

    def test_init_param_budget(self) -> None:
        self._test_param("init", "budget", [(0, ValueError), (1.5, ValueError), ("much", ValueError), (1, None)])

    def test_init_param_scaling(self) -> None:
        self._test_param("init", "scaling", [("some", ValueError), (3, ValueError), ("none", None), ("center", None)])

    def test_query_param_clf(self) -> None:
        cases = [
            (SVC(), TypeError),
            (SklearnClassifier(SVC(), classes=self.classes), AttributeError),
            (SklearnClassifier(LogisticRegression(), classes=self.classes), None),
        ]
        super().test_query_param_clf(test_cases=cases)

    def test_query(self) -> None:
        query = PolicyQueryStrategy("margin", classes=self.classes, random_state=0)
        given = self.query_default_params_clf
        model = given["clf"].fit(given["X"], given["y"])
        margin = np.abs(np.diff(model.predict_proba(given["X"]), axis=1)[:, 0])
        margin[:4] = np.inf
        np.testing.assert_array_equal(query.query(**given, batch_size=3), np.argsort(margin)[:3])
