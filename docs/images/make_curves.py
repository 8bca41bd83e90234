"""Draws docs/images/curves.svg: ``python docs/images/make_curves.py``.

Trains examples/mnist_cnn.yaml for 120 steps on the three backends in float64, and draws the loss of
each and the largest relative difference between their parameters. For comparison: the same network
with PyTorch's own defaults, from the same initial values, on the same batches.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
SPEC = str(ROOT / "examples" / "mnist_cnn.yaml")
STEPS, BATCH = 120, 64
COLORS = {"numpy": "#4c72b0", "torch": "#dd8452", "tensorflow": "#55a868"}
WIDTHS = {"numpy": 6, "torch": 3.2, "tensorflow": 1.2}
RED, GREY = "#c44e52", "#777"
WIDTH, HEIGHT, LEFT, TOP = 380, 210, 52, 34


def specc(*arguments):
    """What a command prints."""
    command = [sys.executable, "-m", "specc.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def generated(folder, name, *sets):
    """The PyTorch file of the spec under other settings, as a module."""
    path = Path(folder) / f"{name}.py"
    specc("build", SPEC, "--backend", "torch", "-o", str(path), "--set", "dtype=float64", *sets)
    found = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def ported_by_name():
    """How far PyTorch's defaults lead from Keras' ones, step by step."""
    with tempfile.TemporaryDirectory() as folder:
        specc("data", SPEC, "--dtype", "float64", "-o", f"{folder}/data.npz")
        x, y = map(np.load(f"{folder}/data.npz").get, ("train/image", "train/label"))
        keras = generated(folder, "keras_defaults")
        own = ["--set", "conventions=pytorch", "--set", "layout=channels_last"]
        pytorch = generated(folder, "pytorch_defaults", *own)
    start = keras.initial_parameters()
    models = []
    for module in (keras, pytorch):
        model = module.build()
        module.set_parameters(model, start)
        models.append((module, model, module.Trainer(model)))
    per_epoch = -(-len(x) // BATCH)
    apart = []
    for step in range(STEPS):
        epoch, place = divmod(step, per_epoch)
        order = keras.batch_order(keras.SEED, epoch, len(x))
        rows = order[place * BATCH : (place + 1) * BATCH]
        for _, _, trainer in models:
            trainer.step({"image": x[rows]}, {"label": y[rows]})
        first, second = (module.get_parameters(model) for module, model, _ in models)
        apart.append(max(distance(first[n], second[n], start[n]) for n in start))
    return apart


def distance(a, b, start):
    """|a - b| as a share of the way from the start: the measure of `specc compare`."""
    return np.linalg.norm(a - b) / np.linalg.norm(b - start)


def line(values, low, high, color, width):
    """A polyline over [low, high] in the panel's own coordinates."""
    xs = np.linspace(0, WIDTH, len(values))
    ys = HEIGHT * (1 - (np.asarray(values) - low) / (high - low))
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="{width}"/>'


def label(x, y, text, anchor="start", color="#333"):
    """A word at a place."""
    return f'<text x="{x}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{text}</text>'


def panel(x, title, ticks, body):
    """A titled frame with ticks (position from the bottom in 0..1, label)."""
    parts = [f'<g transform="translate({x},{TOP})">']
    parts.append(f'<text x="0" y="-12" font-weight="600">{title}</text>')
    parts.append(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#bbb"/>')
    for place, text in ticks:
        y = HEIGHT * (1 - place)
        parts.append(f'<line x1="0" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eee"/>')
        parts.append(label(-6, y + 4, text, "end"))
    parts.append(label(WIDTH, HEIGHT + 18, f"step {STEPS}", "end"))
    return "".join([*parts, *body, "</g>"])


def loss_panel(losses):
    """The loss of each backend: lines of falling width, drawn over each other."""
    high = max(map(max, losses.values()))
    body = [line(values, 0, high, COLORS[n], WIDTHS[n]) for n, values in losses.items()]
    for row, name in enumerate(losses):
        y = 14 + 18 * row
        body.append(f'<rect x="{WIDTH - 96}" y="{y}" width="12" height="4" fill="{COLORS[name]}"/>')
        body.append(label(WIDTH - 78, y + 6, name))
    return panel(LEFT, "loss of each backend", [(0, "0"), (1, f"{high:.1f}")], body)


def difference_panel(apart, by_name):
    """The difference between parameters, on a logarithmic axis from 1e-17 to 1."""
    ticks = [((e + 17) / 17, f"1e{e}") for e in (-16, -12, -8, -4, 0)]
    ours, theirs = (np.log10(np.maximum(values, 1e-17)) for values in (apart, by_name))
    body = [line(ours, -17, 0, RED, 2), line(theirs, -17, 0, GREY, 2)]
    place = HEIGHT * -theirs[STEPS // 4] / 17 + 20
    body.append(label(WIDTH / 4, place, "ported by name: PyTorch's own defaults", color=GREY))
    place = HEIGHT * -max(ours) / 17 - 10
    body.append(label(WIDTH / 4, place, "numpy, torch, tensorflow from one spec", color=RED))
    return panel(2 * LEFT + WIDTH + 40, "largest relative difference of a parameter", ticks, body)


def main():
    """Trains, and writes the picture."""
    found = json.loads(specc("compare", SPEC, "--steps", str(STEPS), "--json"))
    panels = loss_panel(found["losses"]) + difference_panel(found["differences"], ported_by_name())
    width = 2 * (WIDTH + LEFT) + 60
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT + TOP + 30}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{panels}</svg>\n'
    )
    (ROOT / "docs" / "images" / "curves.svg").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
