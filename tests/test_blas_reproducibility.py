"""Batched linear algebra gives a task the same bits wherever it lies in a batch (promise P5)."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import al_gym
import torch

torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
for tasks in (2, 3, 8):
    for classes in (2, 5, 10):
        for labels in (8, 21, 32):
            for features in (5, 9, 17, 33):
                shape = (tasks, classes, labels, features)
                X = torch.randn(tasks, labels, features, generator=generator)
                W = torch.randn(tasks, classes, features, generator=generator)
                A = X.mT @ X + torch.eye(features)
                whole = (W @ X.mT, (W @ X.mT) @ X, A, torch.cholesky_solve(W.mT, torch.linalg.cholesky(A)))
                for i in range(tasks):
                    x, w = X[i : i + 1].clone(), W[i : i + 1].clone()
                    a = x.mT @ x + torch.eye(features)
                    alone = (w @ x.mT, (w @ x.mT) @ x, a, torch.cholesky_solve(w.mT, torch.linalg.cholesky(a)))
                    for name, one, all_ in zip(("logits", "gradient", "gram", "solve"), alone, whole, strict=True):
                        assert torch.equal(one[0], all_[i]), (name, shape, i)
"""


def test_results_do_not_depend_on_the_place_in_the_batch(repository):
    environment = {key: value for key, value in os.environ.items() if key != "MKL_CBWR"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]


def test_the_users_setting_is_kept(repository):
    program = "import os, al_gym; assert os.environ['MKL_CBWR'] == 'COMPATIBLE'"
    environment = os.environ | {"MKL_CBWR": "COMPATIBLE"}
    subprocess.run([sys.executable, "-c", program], env=environment, cwd=repository, check=True)
