"""Training in worker processes, run folders, messages between processes, the report."""

from __future__ import annotations

import io
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from specc.diagnostics import SpecError
from specc.runner import wire
from specc.runner.compare import compare
from specc.runner.comparison import Settings
from specc.runner.curves import chart
from specc.runner.measure import relative_difference, statistics_differences, travelled_difference
from specc.runner.report import html_report
from specc.runner.run_folder import ABOUT, FITTED, SPEC, WEIGHTS, open_run, write_json
from specc.runner.run_place import new_run, refuse_existing
from specc.runner.train import Plan, evaluate, parameter_differences, predict, train

TINY = Path(__file__).parent / "fixtures" / "tiny_numpy.py"


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(3)
    x = generator.standard_normal((40, 4))
    part = {"inputs": {"x": x}, "targets": {"y": np.sin(x[:, :3])}}
    return {"train": part, "validation": part, "test": part}


def test_training_side_by_side_gives_histories_weights_and_events(tmp_path, data):
    folders = {name: tmp_path / name for name in ("one", "two")}
    for folder in folders.values():
        folder.mkdir()
    events = []
    trained = train(
        {"one": TINY, "two": TINY},
        data,
        Plan(epochs=3, batch_size=16, dtype="float64"),
        folders,
        on_event=lambda backend, event: events.append((backend, event)),
    )
    one, two = trained["one"], trained["two"]
    assert one.history == two.history
    assert len(one.history["loss"]) == 3
    assert one.history["loss"][-1] < one.history["loss"][0]
    assert set(parameter_differences(trained).values()) == {0.0}
    logs = [event["logs"] for backend, event in events if backend == "two" and "logs" in event]
    assert [log["loss"] for log in logs] == two.history["loss"]
    weights = folders["one"] / WEIGHTS
    scores = evaluate(TINY, "numpy", weights, "float64", data["test"])
    assert scores == one.scores
    some = {"x": data["test"]["inputs"]["x"][:5]}
    outputs = predict(TINY, "numpy", weights, "float64", some)
    assert outputs["scores"].shape == (5, 3)


def test_a_failing_backend_ends_the_others(tmp_path, data):
    bad = tmp_path / "bad.py"
    loop = "for epoch in range(self.count // per_epoch, epochs):"
    bad.write_text(TINY.read_text().replace(loop, "for epoch in None:"))
    folders = {name: tmp_path / name for name in ("good", "bad")}
    for folder in folders.values():
        folder.mkdir()
    with pytest.raises(SpecError, match="(?s)E1002.*TypeError.*NoneType"):
        train({"good": TINY, "bad": bad}, data, Plan(epochs=10**9, batch_size=16), folders)


WHOLE = (SPEC, FITTED, WEIGHTS, "net.py")


def write_whole_run(folder, backend, state="finished"):
    about = {"name": "net", "backend": backend, "source": "net.py", "spec": "net.yaml"}
    write_json(folder / ABOUT, {**about, "dtype": "float32", "state": state})
    for name in WHOLE:
        (folder / name).touch()


def test_a_run_takes_its_place_when_it_is_complete_and_is_never_lost(tmp_path):
    place = tmp_path / "runs" / "net"
    with new_run(place) as run:
        write_whole_run(run.path, "numpy")
        assert not place.exists()
        run.begin()
        assert place.exists()
        run.finish()
    assert open_run(place).source == place / "net.py"
    with pytest.raises(SpecError, match="E1004.*already exists"):
        refuse_existing(place, overwrite=False)
    with pytest.raises(RuntimeError), new_run(place, overwrite=True) as run:
        write_whole_run(run.path, "torch", "running")
        run.begin()
        raise RuntimeError
    assert open_run(place).backend == "numpy"
    with new_run(place, overwrite=True) as run:
        write_whole_run(run.path, "torch", "running")
        run.begin()
        assert open_run(place).backend == "numpy"
        write_whole_run(run.path, "torch")
        run.finish()
    assert open_run(place).backend == "torch"
    assert [p.name for p in place.parent.iterdir()] == ["net"]
    assert sorted(p.name for p in place.iterdir()) == sorted([*WHOLE, ABOUT])


def test_overwrite_replaces_runs_and_nothing_else(tmp_path):
    for name in ("numpy", "torch"):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / ABOUT, {})
    refuse_existing(tmp_path, overwrite=True)
    (tmp_path / "thesis").mkdir()
    with pytest.raises(SpecError, match="E1004.*holds more than a run"):
        refuse_existing(tmp_path, overwrite=True)


def test_a_run_that_lost_a_file_says_which(tmp_path):
    write_whole_run(tmp_path, "numpy")
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(SpecError, match="E1005.*it has no weights.safetensors"):
        open_run(tmp_path)
    write_json(tmp_path / ABOUT, [])
    with pytest.raises(SpecError, match="E1005.*run.json is not what a run writes"):
        open_run(tmp_path)


def test_a_folder_that_is_no_run_says_where_the_runs_are(tmp_path):
    (tmp_path / "torch").mkdir()
    write_json(tmp_path / "torch" / ABOUT, {})
    with pytest.raises(SpecError, match="(?s)E1005.*did you mean .*torch"):
        open_run(tmp_path)


def test_messages_keep_every_value_exactly():
    message = {
        "text": "ä\n",
        "floats": [0.1, 1e-308, math.inf],
        "nested": {"a": {"b": np.arange(6, dtype="float32").reshape(2, 3).T}},
        "empty": np.zeros((0, 4)),
        "scalar": np.array(7, dtype="int64"),
        "words": np.array(["ab", "c"]),
    }
    stream = io.BytesIO()
    wire.send(stream, message)
    wire.send(stream, {"next": True})
    stream.seek(0)
    found = wire.receive(stream)
    assert found["text"] == message["text"]
    assert found["floats"] == message["floats"]
    assert np.array_equal(found["nested"]["a"]["b"], message["nested"]["a"]["b"])
    assert found["nested"]["a"]["b"].dtype == np.float32
    assert found["empty"].shape == (0, 4)
    assert found["scalar"].shape == ()
    assert list(found["words"]) == ["ab", "c"]
    assert wire.receive(stream) == {"next": True}
    assert wire.receive(stream) is None


def test_the_measures():
    start = np.zeros(2)
    a, b = np.array([1.0, 0.0]), np.array([1.0, 1e-6])
    assert travelled_difference(a, b, start) == pytest.approx(1e-6)
    assert travelled_difference(start, start, start) == 0
    assert travelled_difference(a, start, start) == math.inf
    assert travelled_difference(a, a[:1], start) == math.inf
    assert relative_difference(np.array(math.nan), np.array(1.0)) == math.inf
    assert relative_difference(np.array(math.nan), np.array(math.nan)) == 0
    first = {"n.moving_mean": np.array([1.0]), "n.moving_variance": np.array([3.0])}
    second = {"n.moving_mean": np.array([1.2]), "n.moving_variance": np.array([4.0])}
    found = statistics_differences(first, second, epsilon=0.0)
    assert found == {"n.moving_mean": pytest.approx(0.1), "n.moving_variance": pytest.approx(0.25)}


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href")]
        self.found += [tag] * (tag in ("script", "link", "img"))
        if tag not in ("meta", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag != "path":
            assert self.open.pop() == tag


def test_the_report_is_one_page_that_needs_nothing_else(data):
    found = compare({"one": TINY, "two": TINY}, data["train"], Settings(16, 5, tolerance=1e-10))
    page = html_report(found)
    reader = _Links()
    reader.feed(page)
    assert reader.open == []
    assert reader.found == []
    assert "Equal at every step within 1e-10" in page
    assert "hidden.kernel" in page
    assert page.count('role="img"') == 2


def test_a_chart_leaves_out_what_cannot_be_drawn():
    svg = chart({"a<b": [1.0, math.nan, 3.0], "flat": [2.0, 2.0, 2.0]}, x_label="x", y_label="y")
    assert "a&lt;b" in svg
    assert "nan" not in svg
    assert len(re.findall(r'd="M[^"]*" fill="none"', svg)) == 2
    assert "1e-16" in chart({"zero": [0.0, 0.0]}, x_label="x", y_label="y", log=True)
    assert chart({}, x_label="x", y_label="y").startswith("<svg")
