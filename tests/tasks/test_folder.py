import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from al_gym.errors import DatasetError, ParameterError, UnknownNameError
from al_gym.tasks.folder import load_folder, read_names
from al_gym.tasks.load import load_tasks

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).astype(np.float32)
Y = np.arange(40) % 2


def save(folder: Path, name: str, **arrays: object) -> None:
    np.savez(folder / name, **{"X": X, "y": Y, **arrays})


def table(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"a": X[:, 0], "b": X[:, 1], **columns})


def test_npz_files_keep_dtype_modality_and_class_names(tmp_path: Path) -> None:
    save(tmp_path, "half.npz", X=X.astype(np.float16), modality=np.array("text-embedding"))
    save(tmp_path, "pixels.npz", X=(X > 0).astype(np.uint8), modality=np.array(["image-raw"]))
    save(tmp_path, "words.npz", y=np.where(Y == 0, "no", "yes"))
    save(tmp_path, "named.npz", class_names=np.array(["cat", "dog"]))
    save(tmp_path, "ordered.npz", X=X.astype(">f8"), y=(Y * 7).astype(np.uint16))
    (tmp_path / "README.md").write_text("not data")
    tasks, report = load_folder(tmp_path)
    assert tasks.names == ("half", "named", "ordered", "pixels", "words")
    assert report.skipped == {}
    assert report.encoded == frozenset()
    assert tasks.get("half").X.dtype == np.float16
    assert [tasks.get(name).modality for name in ("half", "pixels", "words")] == [
        "text-embedding",
        "image-raw",
        "tabular",
    ]
    assert tasks.get("words").class_names == ("no", "yes")
    assert tasks.get("named").class_names == ("cat", "dog")
    assert tasks.get("ordered").class_names == ("0", "7")
    np.testing.assert_array_equal(tasks.get("words").y, Y)
    np.testing.assert_array_equal(tasks.get("ordered").X, X.astype(np.float64))


BAD_NPZ = {
    "no_label.npz": ({"X": X}, "no label"),
    "no_features.npz": ({"y": Y}, "no array 'X'"),
    "one_class.npz": ({"X": X, "y": Y * 0}, "one class only"),
    "nan.npz": ({"X": np.where(X > 2, np.nan, X), "y": Y}, "non-finite"),
    "short.npz": ({"X": X[:30], "y": Y}, "30 items but y has 40"),
    "cube.npz": ({"X": X[:, :, None], "y": Y}, "must be"),
    "tiny.npz": ({"X": X[:6], "y": Y[:6]}, "only 6 items"),
    "modal.npz": ({"X": X, "y": Y, "modality": np.array("audio")}, "audio"),
    "regression.npz": ({"X": X, "y": X[:, 0]}, "whole numbers"),
    "pickled.npz": ({"X": X, "y": Y.astype(object)}, "cannot be read"),
    "complex.npz": ({"X": X.astype(complex), "y": Y}, "dtype complex"),
    "column.npz": ({"X": X, "y": Y[:, None]}, "shape"),
}


def test_unusable_files_are_skipped_with_their_reason(tmp_path: Path) -> None:
    save(tmp_path, "good.npz")
    for name, (arrays, _) in BAD_NPZ.items():
        np.savez(tmp_path / name, **arrays)
    (tmp_path / "zip.npz").write_bytes(b"PK\x03\x04 not a zip")
    (tmp_path / "nothing.npz").write_bytes(b"")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00label\n\xff")
    tasks, report = load_folder(tmp_path)
    assert tasks.names == ("good",)
    expected = {name: reason for name, (_, reason) in BAD_NPZ.items()}
    unreadable = ("zip.npz", "nothing.npz", "empty.csv", "broken.parquet", "binary.csv")
    expected |= dict.fromkeys(unreadable, "cannot be read")
    assert set(report.skipped) == set(expected)
    for name, reason in expected.items():
        assert reason in report.skipped[name], (name, report.skipped[name])
    with pytest.raises(DatasetError, match=r"zip\.npz"):
        load_folder(tmp_path, datasets=["good", "zip"], strict=True)
    with pytest.raises(DatasetError, match="one class only"):
        load_folder(tmp_path, datasets=["one_class"])


def test_minimum_size_follows_seed_set_and_batch(tmp_path: Path) -> None:
    np.savez(tmp_path / "seven.npz", X=X[:7], y=Y[:7])
    assert len(load_folder(tmp_path)[0]) == 1  # 2 seeds and 5
    for arguments in ({"batch_size": 6}, {"initial": 3}):
        with pytest.raises(DatasetError, match="only 7 items"):
            load_folder(tmp_path, **arguments)


def test_tables_are_encoded_in_file_order(tmp_path: Path) -> None:
    label = np.where(Y == 0, "None", "NA")  # classes, not missing values
    frame = table(colour=np.where(np.arange(40) % 3 == 0, "red", "blue"), label=label)
    frame.to_csv(tmp_path / "one.csv", index=False)
    frame.to_parquet(tmp_path / "two.parquet")
    tasks, report = load_folder(tmp_path)
    assert report.encoded == {"one", "two"}
    for name in ("one", "two"):
        dataset = tasks.get(name)
        assert dataset.class_names == ("NA", "None")
        np.testing.assert_array_equal(dataset.y, np.where(Y == 0, 1, 0))
        np.testing.assert_allclose(dataset.X[:, :2], X[:, :2], rtol=1e-6)
        np.testing.assert_array_equal(dataset.X[:, 2:].T, [np.arange(40) % 3 != 0, np.arange(40) % 3 == 0])


def test_question_marks_are_missing_numbers(tmp_path: Path) -> None:
    values = [f"{v:.3f}" for v in X[:, 0]]
    values[3] = "?"
    pd.DataFrame({"a": values, "b": X[:, 1], "y": Y}).to_csv(tmp_path / "uci.csv", index=False)
    dataset = load_folder(tmp_path)[0].get("uci")
    assert dataset.n_features == 3
    assert dataset.X[:, 1].tolist() == [0, 0, 0, 1] + [0] * 36


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b\n" + "1.5,2\n2.5,1\n" * 10, "no label: none of the columns label, target, class, y"),
        ("a,label,y\n" + "1.5,2,1\n2.5,1,0\n" * 10, "several label columns: label, y"),
        ("a,label\n" + "1.5,\n2.5,1\n" * 10, "10 of 20 rows have no label"),
        ("a,a,label\n" + "1.5,2,0\n2.5,1,1\n" * 10, "'a' stands twice"),
        ("a,label\n" + "1.5,2,0\n2.5,1,1\n" * 10, "more fields"),
        ("a,label\n", "no rows"),
        ("a,label\n" + "inf,0\n2.5,1\n" * 10, "non-finite values in column 'a'"),
        ("id,a,label\n" + "".join(f"u{i},{i % 3},{i % 2}\n" for i in range(20)), "'id' has one value per row"),
        (",a,label\n" + "".join(f"{i},{i % 3},{i % 2}\n" for i in range(20)), "looks like an identifier"),
    ],
)
def test_unusable_tables_say_why(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    save(tmp_path, "good.npz")
    _, report = load_folder(tmp_path)
    assert reason in report.skipped["bad.csv"]


def test_label_column_is_used_where_a_table_has_it(tmp_path: Path) -> None:
    table(answer=Y, y=X[:, 2]).to_csv(tmp_path / "one.csv", index=False)
    table(y=Y).to_csv(tmp_path / "two.csv", index=False)
    tasks, report = load_folder(tmp_path, label_column="answer")
    assert (tasks.get("one").n_features, tasks.get("two").n_features) == (3, 2)
    np.testing.assert_array_equal(tasks.get("one").y, Y)
    assert report.skipped == {}
    with pytest.raises(UnknownNameError, match="'answer'"):
        load_folder(tmp_path, label_column="anwser")


def test_text_column_becomes_an_embedding(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(["good", "fine", "great"] if y else ["bad", "poor", "weak"], 5)) for y in Y]
    pd.DataFrame({"id": range(40), "review": texts, "label": Y}).to_csv(tmp_path / "reviews.csv", index=False)
    table(label=Y).to_csv(tmp_path / "plain.csv", index=False)
    tasks, report = load_folder(tmp_path, text_column="review")
    dataset = tasks.get("reviews")
    assert dataset.modality == "text-embedding"
    assert tasks.get("plain").modality == "tabular"
    assert report.left_out == {"reviews": ("id",)}
    same = (dataset.X @ dataset.X.T)[Y == 0][:, Y == 0].mean()
    assert same > (dataset.X @ dataset.X.T)[Y == 0][:, Y == 1].mean() + 0.2
    with pytest.raises(UnknownNameError, match="text column 'reviw'"):
        load_folder(tmp_path, text_column="reviw")
    with pytest.raises(ParameterError, match="both"):
        load_folder(tmp_path, text_column="review", label_column="review")


def test_equal_stems_are_an_error(tmp_path: Path) -> None:
    save(tmp_path, "one.npz")
    table(label=Y).to_csv(tmp_path / "one.csv", index=False)
    with pytest.raises(DatasetError, match=r"'one\.csv' and 'one\.npz'"):
        load_folder(tmp_path)


def test_folders_without_data_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no \.npz"):
        load_folder(tmp_path)
    with pytest.raises(DatasetError, match="there is no folder"):
        load_folder(tmp_path / "absent")


def test_names_restrict_the_folder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("one", "two", "three"):
        save(data, f"{name}.npz")
    names = tmp_path / "names.txt"
    names.write_text("# chosen\none\n\n  three  \n")
    assert read_names(names) == ["one", "three"]
    assert load_folder(data, datasets=names)[0].names == ("one", "three")
    names.write_text("thre\n")
    with pytest.raises(UnknownNameError, match="'three'"):
        load_folder(data, datasets=names)
    names.write_text("# none\n")
    with pytest.raises(ParameterError, match="names no dataset"):
        load_folder(data, datasets=names)
    with pytest.raises(ParameterError, match="cannot be read"):
        load_folder(data, datasets=tmp_path / "absent.txt")


def test_manifest_gives_families_and_is_no_dataset(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        save(tmp_path, f"{name}.npz")
    (tmp_path / "datasets.csv").write_text("name,rows,family\none,40,shared\ntwo,40,shared\nthree,40,\nother,1,x\n")
    tasks, report = load_folder(tmp_path)
    assert tasks.families == {"one": "shared", "three": "three", "two": "shared"}
    assert report.skipped == {}
    (tmp_path / "datasets.csv").unlink()
    table(label=Y).to_csv(tmp_path / "datasets.csv", index=False)
    assert load_folder(tmp_path)[0].families["datasets"] == "datasets"


def test_distribution_is_picklable_and_loads_again(tmp_path: Path) -> None:
    save(tmp_path, "one.npz")
    table(label=Y).to_csv(tmp_path / "two.csv", index=False)
    tasks, _ = load_folder(tmp_path)
    assert tasks.get("one") is tasks.get("one")
    copy = pickle.loads(pickle.dumps(tasks))
    assert copy.hashes() == tasks.hashes()


def test_load_tasks_warns_of_skipped_files(tmp_path: Path) -> None:
    save(tmp_path, "good.npz")
    save(tmp_path, "bad.npz", y=Y * 0)
    with pytest.warns(UserWarning, match=r"bad\.npz is left out: one class only"):
        assert load_tasks(str(tmp_path)).names == ("good",)


def test_npz_files_carry_sides_and_groups(tmp_path: Path) -> None:
    X, y = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 2
    sides = np.array(["pool", "test", "any"])[np.arange(60) % 3]
    np.savez(tmp_path / "shift.npz", X=X, y=y, sides=sides, class_names=["no", "yes"])
    np.savez(tmp_path / "sites.npz", X=X, y=y, groups=np.array(["north", "south", "west"])[np.arange(60) // 20])
    tasks, _ = load_folder(tmp_path)
    assert tasks.get("shift").sides.tolist() == [1, 2, 0] * 20
    assert tasks.get("shift").class_names == ("no", "yes")
    assert tasks.get("sites").groups.tolist() == [0] * 20 + [1] * 20 + [2] * 20


def test_a_column_of_a_table_names_the_groups_and_is_no_feature(tmp_path: Path) -> None:
    rows = [f"{i * 0.37 % 1:.2f},{'ab'[i % 2]},site {i // 20},word {i % 7}" for i in range(60)]
    (tmp_path / "sites.csv").write_text("\n".join(["x,label,site,note", *rows]))
    data = load_folder(tmp_path, group_column="site")[0].get("sites")
    assert data.groups.tolist() == [0] * 20 + [1] * 20 + [2] * 20
    assert data.n_features == 1 + 7
    tasks, report = load_folder(tmp_path, group_column="site", text_column="note", text_encoder="lsa")
    assert tasks.get("sites").groups.tolist() == data.groups.tolist()
    assert report.left_out == {"sites": ("x",)}
    assert load_folder(tmp_path)[0].get("sites").groups is None
    with pytest.raises(UnknownNameError, match="'site'"):
        load_folder(tmp_path, group_column="sites")
    with pytest.raises(ParameterError, match="'site' cannot be both the text and the group"):
        load_folder(tmp_path, group_column="site", text_column="site")
    (tmp_path / "sites.csv").write_text("\n".join(["x,label,site,note", *rows, "0.5,a,,word 1"]))
    with pytest.raises(DatasetError, match="1 rows have no group in column 'site'"):
        load_folder(tmp_path, group_column="site")
