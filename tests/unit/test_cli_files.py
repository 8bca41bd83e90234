"""Files appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from specc.cli.files import write_npz, write_text
from specc.diagnostics import SpecError


def test_a_file_is_replaced_in_one_move(tmp_path):
    path = tmp_path / "new" / "net.py"
    write_text(path, "one\n")
    write_text(path, "two\n")
    assert path.read_text() == "two\n"
    assert [p.name for p in path.parent.iterdir()] == ["net.py"]


def test_a_failure_leaves_the_old_file_and_no_draft(tmp_path, monkeypatch):
    path = tmp_path / "net.py"
    write_text(path, "old\n")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(SpecError, match="E1006.*disk full"):
        write_text(path, "new\n")
    assert path.read_text() == "old\n"
    assert [p.name for p in tmp_path.iterdir()] == ["net.py"]


def test_a_place_that_cannot_be_written_is_a_diagnostic(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpecError, match="E1006"):
        write_text(tmp_path / "file" / "net.py", "text")


def test_a_dash_is_standard_output(capsys):
    write_text(Path("-"), "text\n")
    assert capsys.readouterr().out == "text\n"


def test_arrays_are_written_under_their_names(tmp_path):
    path = tmp_path / "predictions.npz"
    write_npz(path, {"scores": np.eye(2)})
    with np.load(path) as archive:
        assert np.array_equal(archive["scores"], np.eye(2))
