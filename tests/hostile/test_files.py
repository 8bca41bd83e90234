"""Files are written whole or not at all, and data files from strangers do no harm."""

from __future__ import annotations

import io
import os
import pickle
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from specc.atomic import replacing
from specc.cli.files import write_text
from specc.data.sources import CsvTable, NpzTable, path_inside
from specc.data.steps import DataProblem
from specc.diagnostics import SpecError
from tests.hostile.enclosure import Enclosure


def test_mode_bits_and_links_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real" / "net.py", tmp_path / "net.py"
    real.parent.mkdir()
    real.write_text("old\n")
    real.chmod(0o640)
    link.symlink_to("real/net.py")
    write_text(link, "new\n")
    assert link.is_symlink() and real.read_text() == "new\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert [each.name for each in real.parent.iterdir()] == ["net.py"]


def test_new_files_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "net.py", "text\n")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "net.py").stat().st_mode) == 0o640


def test_devices_are_written_to(tmp_path: Path) -> None:
    write_text(Path("/dev/null"), "text\n")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(SpecError, match="E1006.*No space left"):
        write_text(Path("/dev/full"), "text\n" * 10_000)
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(SpecError, match="E1006"):
        write_text(tmp_path / "circle", "text\n")


def test_an_interruption_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text("old\n")
    with pytest.raises(KeyboardInterrupt), replacing(path, durable=True) as stream:
        stream.write(b"half of")
        raise KeyboardInterrupt
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


# Data


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def npy(shape: tuple[int, ...], content: bytes = b"", dtype: str = "<f8") -> bytes:
    """An array file that says it has that shape, whatever it holds."""
    stream = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + content


def test_archives_that_lie(tmp_path: Path) -> None:
    class Stealing:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "stolen"),)

    objects = io.BytesIO()
    np.save(objects, np.array([Stealing()], dtype=object), allow_pickle=True)
    path = archive(
        tmp_path / "a.npz",
        pickled=objects.getvalue(),
        huge=npy((10**15,)),
        wrapping=npy((2**62, 4)),
        negative=npy((-1, 4)),
        short=npy((100,), b"\0" * 8),
        nothing=b"",
        noise=b"\x93NUMPY\x01\x00\xff\xff{" + b"(" * 60_000,
        bomb=npy((2**25,), b"\0" * 2**28),
        fine=npy((2,), b"\0" * 16),
    )
    table = NpzTable(path)
    for name in table.names:
        if name == "fine":
            assert table.read(name).tolist() == [0, 0]
            continue
        with pytest.raises(DataProblem) as refused:
            table.read(name)
        assert refused.value.code == "E0802"
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize("cut", [0, 1, 30, 60, 200])
def test_archives_that_are_none(tmp_path: Path, cut: int) -> None:
    whole = archive(tmp_path / "whole.npz", x=npy((2,), b"\0" * 16)).read_bytes()
    path = tmp_path / "a.npz"
    for content in (whole[:cut], b"PK" + whole[2:cut], pickle.dumps([1]), whole[:-1] + b"\xff"):
        path.write_bytes(content)
        try:
            table = NpzTable(path)
            for name in table.names:
                table.read(name)
        except DataProblem as problem:
            assert problem.code == "E0802"


@pytest.mark.parametrize(
    "text",
    ["", "\n", "a,a\n1,2\n", "a\n1,2\n", 'a\n"1\n', "a\n" + "1" * 200_000, "," * 200_000 + "\n1\n",
     "a\n\0\n", "a,b\n" + "1,2\n" * 3 + "3\n"],
)  # fmt: skip
def test_tables_that_are_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8")
    try:
        table = CsvTable(path, "%Y-%m-%d")
        for name in table.names:
            table.read(name)
    except DataProblem as problem:
        assert problem.code == "E0812"


def test_one_long_field_makes_no_table_of_long_fields(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a\n" + "x" * 100_000 + "\n" + "y\n" * 20_000, encoding="utf-8")
    with pytest.raises(DataProblem, match="texts of up to 100,000 characters"):
        CsvTable(path, "%Y-%m-%d").read("a")


def test_a_date_format_that_says_something_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a\n2020\n2021-x\n", encoding="utf-8")
    with pytest.raises(DataProblem, match="says something twice"):
        CsvTable(path, "%Y-%Y").read("a")


@pytest.mark.parametrize(
    "name",
    ["../a.npz", "/etc/passwd", "out", "link", "circle", "pipe", "folder", "a\0b", "x" * 999],
)
def test_paths(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "spec"
    (folder / "folder").mkdir(parents=True)
    (tmp_path / "a.npz").touch()
    (folder / "out").symlink_to("/etc/passwd")
    (folder / "link").symlink_to(tmp_path / "a.npz")
    (folder / "circle").symlink_to("circle")
    os.mkfifo(folder / "pipe")
    with pytest.raises(DataProblem) as refused:
        path_inside(name, folder)
    assert refused.value.code == "E0802"


@pytest.mark.parametrize(
    "steps", ["{one_hot: 900000000000}", "{tokens: {vocabulary: 9, length: 90000000000}}"]
)
def test_preparation_without_measure(tmp_path: Path, enclosure: Enclosure, steps: str) -> None:
    path = tmp_path / "net.yaml"
    (tmp_path / "a.csv").write_text("x,t\n" + "1,1\n2,0\n" * 20, encoding="utf-8")
    path.write_text(
        "specc: 1\nname: net\ninputs: {x: {shape: [4]}}\ntargets: {t: {shape: [1]}}\n"
        "layers: [{name: y, dense: 1}]\noutputs: [y]\n"
        f"data: {{source: csv, path: a.csv, prepare: {{x: [{steps}]}}}}\n",
        encoding="utf-8",
    )
    outcome = enclosure.run("check", "--data", path)
    outcome.check(1)
