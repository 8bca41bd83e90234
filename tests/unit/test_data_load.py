"""Loading: sources, splits, fitting on the training part, checks against the spec."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from specc.data import Dataset, Part, apply, load, read_prepared, write_prepared
from specc.diagnostics import SpecError

EXAMPLES = Path(__file__).parents[2] / "examples"
X = {"x": ((2,), "float")}
Y = {"y": ((), "int")}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Ten rows in a.npz: x counts from 0, y is 0, 1, 0, 1, ..."""
    np.savez(tmp_path / "a.npz", x=np.arange(20.0).reshape(10, 2), y=np.arange(10) % 2)
    return tmp_path


def section(**more: Any) -> dict[str, Any]:
    return {"source": "npz", "path": "a.npz", **more}


def write_csv(folder: Path, text: str) -> dict[str, Any]:
    (folder / "a.csv").write_text(text, encoding="utf-8")
    return {"source": "csv", "path": "a.csv"}


def mistake(*arguments: Any, **keywords: Any) -> str:
    with pytest.raises(SpecError) as caught:
        load(*arguments, **keywords)
    return str(caught.value)


def of(part: Part | None) -> Part:
    assert part is not None
    return part


def test_without_a_split_all_rows_are_trained_on(rows: Path) -> None:
    data = load(section(), rows, X, Y, seed=0)
    assert len(data.train) == 10
    assert data.validation is None
    assert data.test is None
    assert data.train.inputs["x"].dtype == np.float32
    assert data.train.targets["y"].dtype == np.int64
    assert load(section(), rows, X, Y, 0, "float64").train.inputs["x"].dtype == np.float64


def test_a_random_split_is_a_function_of_the_seed(rows: Path) -> None:
    split = {"validation": 0.2, "test": 3}

    def parts(seed: int, /, **more: int) -> list[list[float]]:
        data = load(section(split={**split, **more}), rows, X, Y, seed)
        found = (data.train, of(data.validation), of(data.test))
        return [part.inputs["x"][:, 0].tolist() for part in found]

    first = parts(1)
    assert [len(part) for part in first] == [5, 2, 3]
    assert sorted(sum(first, [])) == [2.0 * row for row in range(10)]
    assert all(part == sorted(part) for part in first)
    assert parts(1) == first
    assert parts(2) != first
    assert parts(2, seed=1) == first


def test_the_split_of_a_seed_stays_what_it_is(rows: Path) -> None:
    data = load(section(split={"test": 0.3}), rows, X, Y, seed=7)
    # Another generator would move rows between the parts of every run that was ever made.
    assert (of(data.test).inputs["x"][:, 0] / 2).tolist() == [3, 5, 9]


@pytest.mark.parametrize("seed", range(5))
def test_a_stratified_split_keeps_the_shares_of_the_classes(tmp_path: Path, seed: int) -> None:
    labels = np.repeat([0, 1, 2], [100, 40, 10])
    np.savez(tmp_path / "a.npz", x=np.zeros((150, 2)), y=labels)
    split = {"validation": 0.1, "test": 0.2, "stratify": True}
    data = load(section(split=split), tmp_path, X, Y, seed)
    assert len(of(data.test)) == 30
    assert np.bincount(of(data.test).targets["y"]).tolist() == [20, 8, 2]
    assert np.bincount(of(data.validation).targets["y"]).tolist() == [10, 4, 1]


def test_a_split_by_time_takes_the_last_rows(rows: Path) -> None:
    split = {"by": "time", "validation": 0.2, "test": 0.3}
    data = load(section(split=split), rows, X, Y, seed=0)
    assert (data.train.inputs["x"][:, 0] / 2).tolist() == [0, 1, 2, 3, 4]
    assert (of(data.validation).inputs["x"][:, 0] / 2).tolist() == [5, 6]
    assert (of(data.test).inputs["x"][:, 0] / 2).tolist() == [7, 8, 9]


def test_a_split_by_time_orders_rows_by_a_column_of_dates(tmp_path: Path) -> None:
    data = write_csv(tmp_path, "day,v\n2/1/2020,2\n1/1/2020,1\n1/2/2021,3\n")
    data |= {"date_format": "%m/%d/%Y", "inputs": {"x": "v"}, "targets": {"y": "v"}}
    data |= {"split": {"by": "time", "column": "day", "test": 1}}
    loaded = load(data, tmp_path, {"x": ((), "float")}, {"y": ((), "int")}, 0)
    assert loaded.train.inputs["x"].tolist() == [1, 2]
    assert of(loaded.test).inputs["x"].tolist() == [3]
    del data["date_format"]
    text = mistake(data, tmp_path, {"x": ((), "float")}, {"y": ((), "int")}, 0)
    assert "error[E0811]: column 'day' of a.csv cannot order the rows" in text
    assert "for dates give date_format" in text


def test_steps_are_fitted_on_the_training_part_only(rows: Path) -> None:
    data = load(
        section(split={"by": "time", "test": 0.5}, prepare={"x": ["standardize"]}), rows, X, Y, 0
    )
    (step,) = data.fitted["arrays"]["x"]["steps"]
    assert step["state"]["mean"] == [4.0, 5.0]
    np.testing.assert_allclose(data.train.inputs["x"].mean(0), 0, atol=1e-7)
    assert of(data.test).inputs["x"].min() > 1


def test_what_was_fitted_prepares_other_rows_the_same(tmp_path: Path) -> None:
    text = "text,size,kind\nan old cat,1,b\na dog,2,a\nthe cat,4,b\na cat,8,a\n"
    inputs = {"words": ((3,), "int"), "size": ((1,), "float")}
    targets = {"kind": ((2,), "float")}
    data = write_csv(tmp_path, text)
    data |= {
        "inputs": {"words": "text"},
        "prepare": {
            "words": [{"tokens": {"vocabulary": 5, "length": 3}}],
            "size": ["log", "standardize"],
            "kind": ["one_hot"],
        },
    }
    loaded = load(data, tmp_path, inputs, targets, 0)
    assert loaded.classes == {"kind": ["a", "b"]}
    fitted = json.loads(json.dumps(loaded.fitted))
    columns = zip(*(line.split(",") for line in text.splitlines()[1:]), strict=True)
    words, size, kind = columns
    again = apply(
        fitted, {"words": np.array(words), "size": np.array(size, float), "kind": np.array(kind)}
    )
    for name, array in {**loaded.train.inputs, **loaded.train.targets}.items():
        np.testing.assert_array_equal(again[name], array)
        assert again[name].dtype == array.dtype
    with pytest.raises(SpecError, match="nothing named 'sise' was fitted"):
        apply(fitted, {"sise": [1.0]})
    with pytest.raises(SpecError, match=r"'kind': 'c' is none of the known classes.*\(row 1\)"):
        apply(fitted, {"kind": np.array(["a", "c"])})
    assert apply(fitted, {}) == {}


def test_windows_never_span_the_border_of_a_part(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", v=np.arange(20.0))
    data = section(
        inputs={"x": "v"},
        targets={"y": "v"},
        split={"by": "time", "test": 8},
        prepare={
            "x": [{"windows": {"length": 3}}],
            "y": [{"windows": {"horizon": 2, "statistic": "max"}}],
        },
    )
    loaded = load(data, tmp_path, {"x": ((3, 1), "float")}, {"y": ((1,), "float")}, 0)
    train, test = loaded.train, of(loaded.test)
    assert train.inputs["x"][:, :, 0].tolist() == [[t - 2, t - 1, t] for t in range(2, 10)]
    assert train.targets["y"][:, 0].tolist() == [t + 2 for t in range(2, 10)]
    assert test.inputs["x"].min() == 12
    assert test.targets["y"].max() == 19
    assert len(test) == 4


def test_rows_dropped_from_one_array_are_dropped_from_all(tmp_path: Path) -> None:
    data = write_csv(tmp_path, "x,y\n1,0\n.,1\n3,0\n4,\n5,1\n")
    data["prepare"] = {"x": [{"missing": "drop"}], "y": ["missing"]}
    assert "needs the attribute 'rule'" in mistake(data, tmp_path, {"x": ((), "float")}, Y, 0)
    data["prepare"]["y"] = [{"missing": "drop"}]
    loaded = load(data, tmp_path, {"x": ((), "float")}, Y, 0)
    assert loaded.train.inputs["x"].tolist() == [1, 3, 5]
    assert loaded.train.targets["y"].tolist() == [0, 0, 1]


def test_a_test_part_of_its_own(rows: Path) -> None:
    np.savez(rows / "a.npz", x=np.zeros((4, 2)), y=np.zeros(4), tx=np.ones((3, 2)), ty=np.ones(3))
    data = load(section(test={"x": "tx", "y": "ty"}), rows, X, Y, 0)
    assert of(data.test).inputs["x"].tolist() == [[1, 1]] * 3
    np.savez(rows / "b.npz", x=np.ones((2, 2)), y=np.ones(2))
    data = load(section(test="b.npz"), rows, X, Y, 0)
    assert len(of(data.test)) == 2
    assert "gives the test part no 'y'" in mistake(section(test={"x": "tx"}), rows, X, Y, 0)


def test_columns_side_by_side(tmp_path: Path) -> None:
    data = write_csv(tmp_path, "a,b,c,y\n1,2,u,0\n3,4,v,1\n")
    loaded = load(data | {"inputs": {"x": ["b", "a"]}}, tmp_path, X, Y, 0)
    assert loaded.train.inputs["x"].tolist() == [[2, 1], [4, 3]]
    text = mistake(data | {"inputs": {"x": ["a", "c"]}}, tmp_path, X, Y, 0)
    assert "column 'c' of a.csv is not a column of numbers" in text


@pytest.mark.parametrize(
    ("declared", "shape"),
    [((4,), (4,)), ((4, 1), (4, 1)), ((1, 4), (1, 4)), (("T",), (4,)), (("T", 1), (4, 1))],
)
def test_axes_of_size_one_come_and_go(
    tmp_path: Path, declared: tuple[Any, ...], shape: tuple[int, ...]
) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 4)), y=np.zeros((3, 1)))
    loaded = load(section(), tmp_path, {"x": (declared, "float")}, Y, 0)
    assert loaded.train.inputs["x"].shape == (3, *shape)
    assert loaded.train.targets["y"].shape == (3,)


def test_a_shape_that_does_not_fit(rows: Path) -> None:
    text = mistake(section(), rows, {"x": ((1, 3), "float")}, Y, 0)
    assert "error[E0808]: 'x' from array 'x' of a.npz: each row has shape [2], but the spec" in text
    np.savez(rows / "a.npz", x=np.zeros((3, 4)), y=np.zeros(3))
    text = mistake(section(), rows, {"x": ((2, 2), "float")}, Y, 0)
    assert "help: put 'reshape: [2, 2]' in prepare" in text


def test_labels_outside_the_classes(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 2)), y=np.array([0, 1, 3, 4]))
    text = mistake(section(), tmp_path, X, Y, 0, bounds={"y": 3})
    assert "error[E0809]: 'y' from array 'y' of a.npz: the value 3 is outside 0 to 2" in text
    assert "note: the first is in row 2 of array 'y' of a.npz" in text
    data = write_csv(tmp_path, "u,v,y\n0,0,1\n0,0,-1\n") | {"inputs": {"x": ["u", "v"]}}
    text = mistake(data, tmp_path, X, Y, 0, bounds={"y": 3})
    assert "the value -1 is outside 0 to 2" in text
    assert "line 3, column 'y' of a.csv" in text


def test_types_that_do_not_fit(tmp_path: Path) -> None:
    data = write_csv(tmp_path, "u,v,y\n0,0,1.5\n0,0,2\n") | {"inputs": {"x": ["u", "v"]}}
    assert "the value 1.5 is not a whole number" in mistake(data, tmp_path, X, Y, 0)
    data = write_csv(tmp_path, "u,v,y\n0,0,1e300\n") | {"inputs": {"x": ["u", "v"]}}
    assert "the value 1e+300 is not a whole number" in mistake(data, tmp_path, X, Y, 0)
    data = write_csv(tmp_path, "u,y\n0,1\n1,two\n") | {"inputs": {"x": "u"}}
    text = mistake(data, tmp_path, {"x": ((), "float")}, Y, 0)
    assert "error[E0809]: 'y' from column 'y' of a.csv: text cannot be int" in text
    assert "'two' in line 3 is not a number" in text
    loaded = load(
        write_csv(tmp_path, "u,y\n0,1\n1,2\n") | {"inputs": {"x": "u"}},
        tmp_path,
        {"x": ((), "bool")},
        Y,
        0,
    )
    assert loaded.train.inputs["x"].tolist() == [False, True]


def test_missing_values_that_nobody_handles(tmp_path: Path) -> None:
    data = write_csv(tmp_path, "x,y\n1,0\n,1\n") | {"inputs": {"x": "x"}}
    text = mistake(data, tmp_path, {"x": ((), "float")}, Y, 0)
    assert "error[E0810]: 'x' from column 'x' of a.csv: 1 values are missing or infinite" in text
    assert "line 3, column 'x' of a.csv" in text
    assert "missing: drop" in text


def test_a_step_that_fails_is_underlined_and_its_row_named(tmp_path: Path) -> None:
    data = write_csv(tmp_path, "x,y\n1,0\n-2,1\n") | {"prepare": {"x": [{"rescale": 2}, "log"]}}
    text = mistake(data, tmp_path, {"x": ((), "float")}, Y, 0)
    assert "error[E0807]: 'x' from column 'x' of a.csv: log needs values above 0" in text
    assert "note: the first is in line 3, column 'x' of a.csv" in text
    assert text.splitlines()[3].count("^") == len('"log"')


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../secret.npz", "is outside the folder of the spec"),
        ("/etc/passwd", "is outside the folder of the spec"),
        ("link.npz", "is outside the folder of the spec"),
        ("folder", "there is no file 'folder'"),
        ("b.npz", "did you mean 'a.npz'?"),
        ("a\0b", "is not a path"),
        ("text.npz", "is not an npz archive"),
        ("objects.npz", "cannot be read"),
        ("scalar.npz", "array 'x' of scalar.npz is float64 of shape ()"),
    ],
)
def test_files_that_are_refused(rows: Path, path: str, message: str) -> None:
    home = rows / "home"
    (home / "folder").mkdir(parents=True)
    (rows / "a.npz").rename(home / "a.npz")
    np.savez(rows / "secret.npz", x=1)
    os.symlink(rows / "secret.npz", home / "link.npz")
    (home / "text.npz").write_text("no archive")
    np.savez(home / "objects.npz", x=np.array([{}, {}]), y=np.zeros(2))
    np.savez(home / "scalar.npz", x=1.0, y=np.zeros(2))
    text = mistake({"source": "npz", "path": path}, home, X, Y, 0)
    assert message in text
    assert "error[E080" in text


def test_an_archive_cut_off_in_the_middle(rows: Path) -> None:
    whole = (rows / "a.npz").read_bytes()
    damaged = bytearray(whole)
    damaged[140] ^= 255
    (rows / "a.npz").write_bytes(damaged)
    assert "cannot be read" in mistake(section(), rows, X, Y, 0)
    (rows / "a.npz").write_bytes(whole[: len(whole) // 2])
    assert "is not an npz archive" in mistake(section(), rows, X, Y, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line of column names"),
        ("a,a\n1,2\n", "two columns named 'a'"),
        ("x,y\n1,2\n1,2,3\n", "line 3 of a.csv has 3 fields, but the first line names 2 columns"),
        ('x,y\n"1\n,2",0\n"1,0\n', "cannot be read"),
        ("x,y\n", "has no rows"),
        ("x,z\n1,2\n", "a.csv has no column 'y'"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    data = write_csv(tmp_path, text)
    assert message in mistake(data, tmp_path, {"x": ((), "float")}, Y, 0)


def test_a_table_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("x,y\nä,1\n".encode("latin-1"))
    text = mistake({"source": "csv", "path": "a.csv"}, tmp_path, {"x": ((), "float")}, Y, 0)
    assert "error[E0812]: a.csv cannot be read" in text


def test_arrays_of_different_length(rows: Path) -> None:
    np.savez(rows / "a.npz", x=np.zeros((4, 2)), y=np.zeros(3))
    text = mistake(section(), rows, X, Y, 0)
    assert "error[E0811]: array 'y' of a.npz has 3 rows, but array 'x' of a.npz has 4" in text


def test_a_split_that_leaves_nothing_to_train_on(rows: Path) -> None:
    text = mistake(section(split={"test": 10}), rows, X, Y, 0)
    assert "10 rows to test and 0 to validate leave none of 10" in text


@pytest.mark.parametrize(("value", "shown"), [(1.5, "1.5"), (np.nan, "nan")])
def test_what_is_no_class_is_named(rows: Path, value: float, shown: str) -> None:
    labels = np.arange(10.0)
    labels[3] = value
    np.savez(rows / "a.npz", x=np.zeros((10, 2)), y=labels)
    text = mistake(section(split={"test": 2, "stratify": True}), rows, X, {"y": ((), "int")}, 0)
    assert f"none, 'y' has the value {shown}" in text


def test_a_split_that_cannot_be_stratified(rows: Path) -> None:
    np.savez(rows / "a.npz", x=np.zeros((4, 2)), y=np.zeros(4) + 0.5)
    text = mistake(section(split={"test": 2, "stratify": True}), rows, X, {"y": ((), "float")}, 0)
    assert "those of this spec are: none" in text


@pytest.mark.parametrize(
    ("name", "shape", "targets", "classes"),
    [
        ("digits", (64,), (), 10),
        ("digits", (8, 8, 1), (), 10),
        ("iris", (4,), (), 3),
        ("wine", (13,), (), 3),
        ("breast_cancer", (30,), (1,), 2),
        ("diabetes", (10,), (1,), 0),
        ("linnerud", (3,), (3,), 0),
    ],
)
def test_scikit_learn(
    name: str, shape: tuple[int, ...], targets: tuple[int, ...], classes: int
) -> None:
    dtype = "int" if classes else "float"
    data = {"source": "sklearn", "name": name}
    loaded = load(data, Path("."), {"x": (shape, "float")}, {"y": (targets, dtype)}, 0)
    assert loaded.train.inputs["x"].shape[1:] == shape
    assert len(loaded.classes.get("y", [])) == classes


def test_scikit_learn_by_the_names_of_columns() -> None:
    data = {"source": "sklearn", "name": "iris"}
    data |= {"inputs": {"x": ["petal width (cm)", "petal length (cm)"]}}
    loaded = load(data, Path("."), X, Y, 0)
    assert loaded.train.inputs["x"][0].tolist() == pytest.approx([0.2, 1.4])


def test_scikit_learn_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    text = mistake({"source": "sklearn", "name": "iris"}, Path("."), X, Y, 0)
    assert "error[E0803]: the data set 'iris' comes with scikit-learn" in text
    assert "help: pip install scikit-learn" in text


def test_the_oil_price_is_read_with_its_gaps() -> None:
    section = {"source": "csv", "path": "data/wti.csv", "inputs": {"x": "DCOILWTICO"}}
    section |= {"targets": {"y": "Date"}, "date_format": "%m/%d/%Y"}
    section |= {"prepare": {"x": [{"missing": "drop"}]}}
    loaded = load(section, EXAMPLES, {"x": ((1,), "float")}, {"y": ((), "int")}, 0)
    assert len(loaded.train) == 8611 - 290
    assert loaded.train.inputs["x"][0] == pytest.approx(25.56)
    assert loaded.train.targets["y"][0] == 16 * 365 + 4 + 1  # 1986-01-02, after four leap days


def test_prepared_arrays_make_the_round_trip(rows: Path) -> None:
    data: Dataset = load(section(split={"test": 0.2}), rows, X, Y, 0)
    write_prepared(data, rows / "out.npz")
    parts = read_prepared(rows / "out.npz")
    assert sorted(parts) == ["test", "train"]
    np.testing.assert_array_equal(parts["train"]["x"], data.train.inputs["x"])
    np.testing.assert_array_equal(parts["test"]["y"], of(data.test).targets["y"])
    with np.load(rows / "out.npz") as archive:
        assert sorted(archive.files) == ["test/x", "test/y", "train/x", "train/y"]


def test_a_write_that_fails_leaves_nothing_behind(
    rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load(section(), rows, X, Y, 0)
    write_prepared(data, rows / "out.npz")
    before = (rows / "out.npz").read_bytes()

    def fail(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="no space"):
        write_prepared(data, rows / "out.npz")
    assert (rows / "out.npz").read_bytes() == before
    assert sorted(path.name for path in rows.iterdir()) == ["a.npz", "out.npz"]
