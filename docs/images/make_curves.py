"""Draws docs/images/curves.svg: ``python docs/images/make_curves.py`` (needs torch and TensorFlow).

Trains examples/mnist_cnn.yaml for 120 steps on the three backends, in float64, and draws the loss
of each and the largest relative difference between their parameters.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
COLORS = {"numpy": "#4c72b0", "torch": "#dd8452", "tensorflow": "#55a868"}
WIDTH, HEIGHT, LEFT, TOP = 380, 210, 52, 34


def line(values, low, high, color, style=""):
    """A polyline over [low, high] in the panel's own coordinates."""
    xs = np.linspace(0, WIDTH, len(values))
    ys = HEIGHT * (1 - (np.asarray(values) - low) / (high - low))
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{color}" {style}/>'


def panel(x, title, ticks, body, steps):
    """A titled frame with ticks (position from the bottom in 0..1, label)."""
    parts = [f'<g transform="translate({x},{TOP})">']
    parts.append(f'<text x="0" y="-12" font-weight="600">{title}</text>')
    parts.append(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#bbb"/>')
    for place, label in ticks:
        y = HEIGHT * (1 - place)
        parts.append(f'<line x1="0" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eee"/>')
        parts.append(f'<text x="-6" y="{y + 4:.1f}" text-anchor="end" fill="#555">{label}</text>')
    parts.append(f'<text x="{WIDTH}" y="{HEIGHT + 18}" text-anchor="end" fill="#555">')
    parts.append(f"step {steps}</text>")
    return "".join([*parts, *body, "</g>"])


def main():
    command = [sys.executable, "-m", "specc.cli", "compare", ROOT / "examples" / "mnist_cnn.yaml"]
    run = subprocess.run(
        [*command, "--steps", "120", "--json"], capture_output=True, text=True, check=True
    )
    found = json.loads(run.stdout)
    losses, apart = found["losses"], found["differences"]
    steps = len(apart)
    high = max(max(each) for each in losses.values())
    widths = {"numpy": 6, "torch": 3.2, "tensorflow": 1.2}
    curves = [
        line(values, 0, high, COLORS[name], f'stroke-width="{widths[name]}"')
        for name, values in losses.items()
    ]
    for row, name in enumerate(losses):
        curves.append(
            f'<rect x="{WIDTH - 96}" y="{14 + 18 * row}" width="12" height="4" '
            f'fill="{COLORS[name]}"/>'
            f'<text x="{WIDTH - 78}" y="{20 + 18 * row}">{name}</text>'
        )
    exponents = np.log10(np.maximum(apart, 1e-17))
    left = panel(LEFT, "loss of each backend", [(0, "0"), (1, f"{high:.1f}")], curves, steps)
    ticks = [((e + 17) / 17, f"1e{e}") for e in (-16, -12, -8, -4, 0)]
    right = panel(
        LEFT * 2 + WIDTH + 40,
        "largest relative difference of a parameter",
        ticks,
        [line(exponents, -17, 0, "#c44e52", 'stroke-width="2"')],
        steps,
    )
    total = 2 * (WIDTH + LEFT) + 60
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {HEIGHT + TOP + 30}" '
        'font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{left}{right}</svg>\n'
    )
    (ROOT / "docs" / "images" / "curves.svg").write_text(text)


if __name__ == "__main__":
    main()
