"""Runs on the disk: unfinished, in use, damaged, changed, replaced, on a disk that is full."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from specc.atomic import replacing
from specc.diagnostics import SpecError
from specc.runner import checkpoint, lock
from specc.runner.experiment import Experiment
from specc.runner.run_folder import ABOUT, INTERRUPTED, open_run
from specc.runner.run_place import next_to, settle
from specc.runner.train import Plan, train
from tests.survival.trials import finish, prepare, stamps, start, workers

ENDLESS = 10**7


@pytest.fixture
def spec(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path, epochs=3)
    return Path("net.yaml")


def specc(*arguments: str, code: int = 0) -> str:
    """Standard output and error of a command line."""
    ran = subprocess.run(
        [sys.executable, "-m", "specc.cli", *arguments], capture_output=True, text=True, check=False
    )
    assert ran.returncode == code, ran.stderr
    assert "Traceback" not in ran.stderr
    return ran.stdout + ran.stderr


def begun(*options: str) -> subprocess.Popen[str]:
    """An endless training that has written a checkpoint."""
    run = Path("runs/net")
    before = stamps(run)
    process = start(Path("net.yaml"), run, "--epochs", str(ENDLESS), *options)
    until = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < until:
        if stamps(run) != before and (run / checkpoint.PREVIOUS).exists():
            return process
        time.sleep(0.01)
    raise AssertionError(finish(process))


def interrupted(*options: str) -> str:
    """What an endless training says when it is interrupted."""
    process = begun(*options)
    process.send_signal(signal.SIGINT)
    code, told = finish(process)
    assert code == 130
    return told


def test_an_interruption_says_how_to_go_on_and_what_is_not_finished(spec):
    told = interrupted()
    assert "interrupted: numpy after step " in told
    assert "go on with: specc train net.yaml --run-dir runs/net --resume" in told
    for command in ("evaluate", "predict"):
        told = specc(command, "runs/net", code=1)
        assert "error[E1012]: runs/net is not finished: it was interrupted" in told
        assert "go on with: specc train net.yaml --run-dir runs/net --resume" in told
    scores = json.loads(specc("evaluate", "runs/net", "--unfinished", "--json"))["scores"]
    assert scores["loss"] > 0
    predicted = json.loads(specc("predict", "runs/net", "--unfinished"))
    assert len(predicted["logits"][0]) == 3
    assert "go on with" in specc("train", str(spec), code=1)


def test_a_backend_that_is_done_is_not_trained_again(spec):
    """It has a checkpoint of its end, though it took no time that asks for one."""
    experiment = Experiment.prepare(spec, {"numpy": Path()})
    sources = dict.fromkeys(("one", "other"), experiment.sources["numpy"])
    folders = {name: Path(name) for name in sources}
    for folder in folders.values():
        folder.mkdir()
    train(sources, experiment.parts, Plan(epochs=3, batch_size=16), folders)
    kept = [checkpoint.read(folder / checkpoint.NAME) for folder in folders.values()]
    assert [each.step for each in kept] == [12, 12]
    assert [len(each.history["val_loss"]) for each in kept] == [3, 3]


def test_a_run_belongs_to_one_process(spec):
    process = begun()
    try:
        for options in ([], ["--resume"], ["--overwrite"]):
            told = specc("train", str(spec), *options, code=1)
            assert f"error[E1013]: runs/net is in use: process {process.pid}" in told
        told = specc("evaluate", "runs/net", code=1)
        assert f"process {process.pid} is training it" in told
        assert json.loads(specc("evaluate", "runs/net", "--unfinished", "--json"))["scores"]
    finally:
        process.kill()
        process.wait()
    assert "it was killed" in specc("evaluate", "runs/net", code=1)
    # What a dead process held is free, and its workers do not outlive it.
    process = begun("--resume")
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 143


def test_what_cannot_be_read_is_not_taken_for_finished(spec):
    interrupted()
    about = Path("runs/net", ABOUT)
    text = about.read_text()
    about.write_text("{")
    for options in (["--resume"], []):
        specc("train", str(spec), *options, code=1)
        assert Path("runs/net", checkpoint.NAME).exists()
    about.write_text(text)
    assert json.loads(specc("evaluate", "runs/net", "--unfinished", "--json"))["scores"]


def test_a_run_behind_a_link_is_replaced_as_often_as_asked(spec):
    specc("train", str(spec))
    Path("large").mkdir()
    Path("runs/net").rename("large/net")
    Path("runs/net").symlink_to(Path("large/net").absolute())
    # An earlier version left such a link.
    Path("runs/.net.replaced").symlink_to(Path("large/net").absolute())
    for _ in range(2):
        specc("train", str(spec), "--overwrite")
        assert open_run(Path("runs/net")).finished
        assert [each.name for each in Path("runs").iterdir()] == ["net"]
    assert open_run(Path("large/net")).finished


def test_files_of_others_stay(spec):
    specc("train", str(spec))
    note, draft = Path("runs/net/.notes"), Path("runs/net/.checkpoint.npz.0123456789ab")
    for each in (note, draft):
        each.write_text("mine")
    specc("train", str(spec), code=1)  # there is a run
    assert note.exists() and not draft.exists()


def test_workers_end_with_their_parent(spec):
    process = begun()
    running = workers(process)
    process.kill()
    process.wait()
    until = time.monotonic() + 10
    while any(map(lock.alive, running)) and time.monotonic() < until:
        time.sleep(0.01)
    assert running and not any(map(lock.alive, running))


def test_a_killed_worker_is_told_of(spec):
    process = begun()
    os.kill(workers(process)[0], signal.SIGKILL)
    code, told = finish(process)
    assert code == 3
    assert "error[E1017]: the numpy process was ended by SIGKILL" in told
    assert "ran out of memory" in told
    assert "what was trained is kept in runs/net: " in told
    assert "go on with: specc train net.yaml --run-dir runs/net --resume" in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--set", "training.batch_size=8"], "training.batch_size was 16 when the run began"),
        (["--set", "seed=6"], "seed was 5 when the run began, and is 6 now"),
        (["--dtype", "float64"], "dtype was float32 when the run began, and is float64 now"),
        (["--backend", "torch"], "backends was numpy when the run began, and is torch now"),
        (["--optimize", "0"], "optimize was 1 when the run began, and is 0 now"),
    ],
)
def test_only_the_same_run_is_gone_on_with(spec, options, told):
    interrupted()
    said = specc("train", str(spec), "--resume", *options, code=1)
    assert "error[E1014]" in said and told in said


def test_other_data_or_an_edited_file_make_another_run(spec):
    interrupted()
    with np.load("net.npz") as archive:
        arrays = dict(archive)
    arrays["image"][0] += 1
    np.savez("net.npz", **arrays)
    with Path("runs/net/net_numpy.py").open("a") as file:
        file.write("\n")
    told = specc("train", str(spec), "--resume", code=1)
    assert "/image are not those that the run began with" in told
    assert "/label are not" not in told
    assert "its generated file for numpy has been changed" in told


def test_a_damaged_checkpoint_gives_way_to_the_one_before(spec):
    interrupted()
    path = Path("runs/net") / checkpoint.NAME
    path.write_bytes(path.read_bytes()[:-100])
    damaged = path.stat().st_mtime_ns
    told = specc("evaluate", "runs/net", "--unfinished")
    assert f"warning[E1015]: the checkpoint {path} cannot be used: it is damaged" in told
    process = start(spec, Path("runs/net"), "--resume")
    until = time.monotonic() + 60
    while not path.exists() or path.stat().st_mtime_ns == damaged:
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    code, told = finish(process)
    assert code == 143 and "warning[E1015]" in told
    assert "warning" not in specc("evaluate", "runs/net", "--unfinished")


def test_no_damage_goes_unnoticed(tmp_path):
    state = {"step": np.array(3), "adam.m/a": np.arange(50.0)}
    kept = checkpoint.Checkpoint("k", 3, 1.5, {"loss": [0.1]}, {"loss": 0.25}, {"a": state["step"]})
    kept.state = state
    checkpoint.write(tmp_path, kept, replacing)
    path = tmp_path / checkpoint.NAME
    whole = path.read_bytes()
    found = checkpoint.read(path, "k")
    assert (found.key, found.step, found.history) == ("k", 3, {"loss": [0.1]})
    with pytest.raises(checkpoint.DamagedError, match="of another run"):
        checkpoint.read(path, "another")
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(checkpoint.DamagedError):
            checkpoint.read(path)
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 64]) + whole[place + 1 :])
        try:
            found = checkpoint.read(path, "k")
        except checkpoint.DamagedError:
            continue
        # What may change unseen is what nobody reads, such as the time in a zip's header.
        assert all(np.array_equal(found.state[name], state[name]) for name in state)
        assert found.step == 3 and found.totals == {"loss": 0.25}


def test_the_last_two_checkpoints_are_kept(tmp_path):
    for step in range(3):
        checkpoint.write(tmp_path, checkpoint.Checkpoint("k", step, 0.0, {}, {}), replacing)
    assert checkpoint.read(tmp_path / checkpoint.NAME).step == 2
    assert checkpoint.read(tmp_path / checkpoint.PREVIOUS).step == 1
    assert len(list(tmp_path.iterdir())) == 2


def on_a_full_disk(limit: int, *arguments: str) -> str:
    """What a command line says where no file may be larger than ``limit`` bytes."""
    ran = subprocess.run(
        [sys.executable, "-m", "specc.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert ran.returncode == 1
    assert "error[E1006]: cannot write " in ran.stderr and "File too large" in ran.stderr
    return ran.stderr


def test_a_disk_that_is_full_from_the_beginning_leaves_nothing(spec):
    on_a_full_disk(1_000, "train", str(spec))
    assert not Path("runs").exists()


@pytest.mark.parametrize("limit", [9_000, 60_000])
def test_a_full_disk_is_told_of_and_loses_nothing(spec, limit):
    interrupted()
    before = {p.name: p.read_bytes() for p in Path("runs/net").glob("checkpoint*")}
    told = on_a_full_disk(limit, "train", str(spec), "--resume", "--checkpoint-every", "5")
    assert "go on with: specc train net.yaml --resume" in told
    assert all((Path("runs/net") / name).exists() for name in before)
    assert not [p.name for p in Path("runs/net").iterdir() if p.name.startswith(".")]
    assert json.loads(specc("evaluate", "runs/net", "--unfinished", "--json"))["scores"]


def test_the_earlier_run_stays_until_the_new_one_is_finished(spec):
    specc("train", str(spec))
    scores = specc("evaluate", "runs/net", "--json")
    process = start(spec, Path("runs/net"), "--epochs", str(ENDLESS), "--overwrite")
    until = time.monotonic() + 60
    while not any(next_to(Path("runs/net")).glob(checkpoint.PREVIOUS)):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert specc("evaluate", "runs/net", "--json") == scores
    process.kill()
    process.wait()
    assert specc("evaluate", "runs/net", "--json") == scores
    assert "go on with" in specc("train", str(spec), code=1)
    specc("train", str(spec), "--overwrite", "--epochs", "1")
    assert specc("evaluate", "runs/net", "--json") != scores
    assert [path.name for path in Path("runs").iterdir()] == ["net"]


@pytest.mark.parametrize("moment", ["before", "between"])
def test_a_replacement_that_was_killed_is_completed(spec, moment):
    """The old run gives its place and the new one takes it: two moves, between which it dies."""
    specc("train", str(spec))
    place, whole = Path("runs/net"), next_to(Path("runs/net"))
    specc("train", str(spec), "--epochs", "1", "--run-dir", str(whole))
    (whole / checkpoint.NAME).touch()
    if moment == "between":
        place.rename(place.with_name(".net.replaced"))
    settle(place)
    assert open_run(place).about["settings"] == {"training.epochs": "1"}
    assert [path.name for path in Path("runs").iterdir()] == ["net"]
    assert not (place / checkpoint.NAME).exists()


def test_nothing_is_left_of_a_run_that_did_not_begin(spec):
    text = Path("net.yaml").read_text()
    Path("net.yaml").write_text(text.replace("path: net.npz", "path: nowhere.npz"))
    specc("train", str(spec), code=1)
    assert not Path("runs").exists()
    Path("runs").mkdir()
    Path("runs/.net.999999999").mkdir()
    Path("net.yaml").write_text(text)
    specc("train", str(spec))
    assert [path.name for path in Path("runs").iterdir()] == ["net"]


def test_what_cannot_be_resumed(spec):
    told = specc("train", str(spec), "--resume", code=1)
    assert "error[E1016]: there is no run in runs/net to resume" in told
    specc("train", str(spec))
    told = specc("train", str(spec), "--resume", code=1)
    assert "error[E1016]: the run in runs/net is finished" in told
    specc("train", str(spec), "--resume", "--overwrite", code=2)
    specc("train", str(spec), "--checkpoint-every", "soon", code=2)
    about = json.loads(Path("runs/net", ABOUT).read_text())
    del about["trained_with"]
    Path("runs/net", ABOUT).write_text(json.dumps({**about, "state": INTERRUPTED}))
    told = specc("train", str(spec), "--resume", code=1)
    assert "error[E1014]: the run in runs/net does not say what it was trained with" in told


def test_the_lock_outlives_no_process(tmp_path):
    with lock.locked(tmp_path, tmp_path):
        assert lock.holder(tmp_path) == os.getpid()
        with (
            pytest.raises(SpecError, match=f"E1013.*process {os.getpid()}"),
            lock.locked(tmp_path, tmp_path),
        ):
            pass
    assert lock.holder(tmp_path) == 0
    with lock.locked(tmp_path, tmp_path):
        pass
