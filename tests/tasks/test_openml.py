"""scikit-learn's real fetching code against local files in the format of the OpenML API."""

import gzip
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlparse
from urllib.request import Request

import numpy as np
import pytest
from sklearn.datasets import _openml as openml_module

from al_gym.errors import DatasetError, ParameterError
from al_gym.tasks.load import load_tasks
from al_gym.tasks.openml import load_openml

WEATHER = """% a comment
@RELATION weather
@ATTRIBUTE 'station' INTEGER
@ATTRIBUTE 'temperature' REAL
@ATTRIBUTE 'sky' {sunny,'half clouded',rain}
@ATTRIBUTE 'windy' {true,false}
@ATTRIBUTE 'play' {no,yes}
@DATA
""" + "".join(
    f"{i},{'?' if i == 5 else i * 0.5 % 7},{('sunny', chr(39) + 'half clouded' + chr(39), 'rain')[i % 3]},"
    f"{('true', 'false')[i % 2]},{('no', 'yes')[i % 4 == 0]}\n"
    for i in range(20)
)
SPARSE = (
    "@RELATION words\n@ATTRIBUTE w0 REAL\n@ATTRIBUTE w1 REAL\n@ATTRIBUTE w2 REAL\n@ATTRIBUTE topic {a,b}\n@DATA\n"
    + "".join(f"{{{i % 3} {i + 1}{', 3 b' if i % 2 else ''}}}\n" for i in range(12))
)


def feature(index: int, name: str, kind: str, **flags: str) -> dict[str, str]:
    plain = {"is_target": "false", "is_ignore": "false", "is_row_identifier": "false", "number_of_missing_values": "0"}
    return {"index": str(index), "name": name, "data_type": kind, **plain, **flags}


def description(data_id: int, name: str, arff: str, layout: str) -> dict[str, object]:
    return {
        "id": str(data_id),
        "name": name,
        "version": "1",
        "description": "made for this test",
        "format": layout,
        "url": f"https://www.openml.org/data/v1/download/{data_id}/{name}.arff",
        "file_id": str(data_id),
        "status": "active",
        "md5_checksum": hashlib.md5(arff.encode()).hexdigest(),
    }


def api_files(data_id: int, name: str, arff: str, layout: str, features: list[dict[str, str]]) -> dict[str, bytes]:
    """Path on www.openml.org -> body."""
    qualities = [{"name": "NumberOfInstances", "value": str(float(arff.count("\n")))}]
    bodies = {
        f"/api/v1/json/data/{data_id}": {"data_set_description": description(data_id, name, arff, layout)},
        f"/api/v1/json/data/features/{data_id}": {"data_features": {"feature": features}},
        f"/api/v1/json/data/qualities/{data_id}": {"data_qualities": {"quality": qualities}},
    }
    files = {path: json.dumps(body).encode() for path, body in bodies.items()}
    for path in (f"/data/v1/download/{data_id}", f"/data/v1/download/{data_id}/{name}.arff"):
        files[path] = arff.encode()
    return files


FILES = api_files(
    7001,
    "Weather",
    WEATHER,
    "ARFF",
    [
        feature(0, "station", "numeric", is_row_identifier="true"),
        feature(1, "temperature", "numeric", number_of_missing_values="1"),
        feature(2, "sky", "nominal"),
        feature(3, "windy", "nominal"),
        feature(4, "play", "nominal", is_target="true"),
    ],
) | api_files(
    7002,
    "words",
    SPARSE,
    "Sparse_ARFF",
    [*(feature(k, f"w{k}", "numeric") for k in range(3)), feature(3, "topic", "nominal", is_target="true")],
)


class Response(io.BytesIO):
    """What `urlopen` returns: gzip bodies with their header."""

    def info(self) -> dict[str, str]:
        return {"Content-Encoding": "gzip"}


def serve(request: Request) -> Response:
    path = urlparse(request.full_url).path
    if path not in FILES:
        raise HTTPError(request.full_url, 412, "Precondition Failed", None, None)  # type: ignore[arg-type]
    return Response(gzip.compress(FILES[path]))


def offline(request: Request) -> Response:
    raise URLError("no route to host")


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Request], Response]], None]:
    monkeypatch.setattr(openml_module.time, "sleep", lambda seconds: None)
    return lambda opener: monkeypatch.setattr(openml_module, "urlopen", opener)


def test_dense_dataset_is_downloaded_encoded_and_kept(tmp_path: Path, use: Callable) -> None:
    use(serve)
    dataset = load_openml(7001, data_home=tmp_path)
    assert (dataset.name, dataset.family, dataset.modality) == ("openml-7001", "weather", "tabular")
    assert dataset.class_names == ("no", "yes")
    np.testing.assert_array_equal(dataset.y, [i % 4 == 0 for i in range(20)])
    assert dataset.X.shape == (20, 1 + 1 + 3 + 2)  # number, its missing flag, sky, windy; not the identifier
    known = [i for i in range(20) if i != 5]
    np.testing.assert_allclose(dataset.X[known, 0], [i * 0.5 % 7 for i in known])
    np.testing.assert_array_equal(dataset.X[:, 1], np.arange(20) == 5)
    assert "version 1" in dataset.source
    use(offline)
    assert load_openml(7001, data_home=tmp_path).content_hash == dataset.content_hash


def test_nominal_numbers_and_booleans_are_categories(tmp_path: Path, use: Callable) -> None:
    use(serve)
    dataset = load_openml(7001, data_home=tmp_path, target="windy", name="mine", family="own")
    assert dataset.class_names == ("false", "true")
    assert (dataset.name, dataset.family) == ("mine", "own")
    assert dataset.n_features == 1 + 1 + 3 + 2


def test_sparse_datasets_are_refused(tmp_path: Path, use: Callable) -> None:
    use(serve)
    with pytest.raises(DatasetError, match="7002 cannot be used: Sparse ARFF"):
        load_openml(7002, data_home=tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
def test_failures_are_typed_and_say_what_to_do(tmp_path: Path, use: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    use(offline)
    with pytest.raises(DatasetError, match=r"7001 is not in .*no route to host.*data_home="):
        load_openml(7001, data_home=tmp_path, n_retries=1)
    use(serve)
    with pytest.raises(DatasetError, match="7003 not found"):
        load_openml(7003, data_home=tmp_path)
    with pytest.raises(DatasetError, match="wind"):
        load_openml(7001, data_home=tmp_path, target="wind")
    with pytest.raises(ParameterError, match="-1"):
        load_openml(-1)
    for path in FILES:
        if path.startswith("/data/v1/download/7001"):
            monkeypatch.setitem(FILES, path, WEATHER.replace("0.5", "0.6").encode())
    with pytest.raises(DatasetError, match="md5 checksum"):
        load_openml(7001, data_home=tmp_path / "fresh")


def test_numbers_name_tasks(tmp_path: Path, use: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    use(serve)
    assert load_tasks("openml:7001").families == {"openml-7001": "weather"}
    with pytest.raises(ParameterError, match="'iris'"):
        load_tasks("openml:iris")
