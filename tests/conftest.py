"""Test session: one thread everywhere, the `--corpus DIR` option and the hypothesis profiles."""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # before numpy is imported: the libraries read it once
os.environ.setdefault("MPLBACKEND", "Agg")

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

torch.set_num_threads(1)
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--corpus", metavar="DIR", help="folder of *.npz datasets for the tests marked 'corpus'")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--corpus"):
        return
    skip = pytest.mark.skip(reason="needs a folder of datasets: pytest --corpus DIR")
    for item in items:
        if item.get_closest_marker("corpus"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def corpus(request: pytest.FixtureRequest) -> Path:
    """The folder given with --corpus; tests that use it carry the marker `corpus`."""
    value = request.config.getoption("--corpus")
    if value is None:
        pytest.skip("needs a folder of datasets: pytest --corpus DIR")
    folder = Path(value)
    if not any(folder.glob("*.npz")):
        pytest.fail(f"--corpus {folder} holds no *.npz file")
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree."""
    return Path(__file__).resolve().parent.parent
