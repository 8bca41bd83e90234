"""Line charts as SVG text: enough for loss curves, with no library and no script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

# Distinguishable by colour-blind readers too (Okabe and Ito, 2008); dashes tell equal curves apart.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")
DASHES = ("", "9 5", "2 4", "9 4 2 4", "5 3", "1 3")
WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 72, 16, 16, 44


def chart(
    series: Mapping[str, Sequence[float]], *, x_label: str, y_label: str, log: bool = False
) -> str:
    """One chart of several curves over 0, 1, 2, ...; values that cannot be drawn leave a gap.

    Under ``log`` zeros are drawn on the bottom edge, since equal is better than any difference.
    """
    finite = [value for values in series.values() for value in values if math.isfinite(value)]
    shown = [value for value in finite if value > 0] if log else finite
    low, high, ticks = (_decades if log else _linear)(min(shown, default=0), max(shown, default=1))
    count = max((len(values) for values in series.values()), default=1)

    def x(index: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * index / max(count - 1, 1)

    def y(value: float) -> float:
        height = math.log10(value) if log and value > 0 else low if log else value
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (height - low) / (high - low))

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y_label)}">',
        *(_gridline(y(10**tick if log else tick), _tick(tick, log)) for tick in ticks),
        *(_x_tick(x(index), index) for index in _steps(count)),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label, "middle"),
        f'<text transform="translate(14 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>",
    ]
    for number, (name, values) in enumerate(series.items()):
        points = [(x(i), y(value)) for i, value in enumerate(values) if math.isfinite(value)]
        parts.append(_curve(name, points, number))
    return "\n".join([*parts, "</svg>"])


def legend(names: Sequence[str]) -> str:
    """A line of names with the stroke of each curve, as HTML."""
    return "".join(
        f'<span class="key"><svg viewBox="0 0 36 8" width="36" height="8">'
        f'<path d="M0 4H36" {_stroke(number)}/></svg>{escape(name)}</span>'
        for number, name in enumerate(names)
    )


def _stroke(number: int) -> str:
    colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
    return f'fill="none" stroke="{colour}" stroke-width="2.2" stroke-dasharray="{dash}"'


def _curve(name: str, points: Sequence[tuple[float, float]], number: int) -> str:
    path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points) if points else ""
    return f'<path d="{path}" {_stroke(number)}><title>{escape(name)}</title></path>'


def _gridline(y: float, label: str) -> str:
    line = f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
    return line + _text(LEFT - 8, y + 4, label, "end")


def _x_tick(x: float, index: int) -> str:
    return _text(x, HEIGHT - BOTTOM + 18, str(index), "middle")


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _tick(value: float, log: bool) -> str:
    return f"1e{int(value)}" if log else f"{value:g}"


def _linear(low: float, high: float) -> tuple[float, float, list[float]]:
    """Limits and about five round ticks that hold [low, high]."""
    span = high - low or abs(high) or 1.0
    unit = 10 ** math.floor(math.log10(span / 4))
    step = next(unit * factor for factor in (1, 2, 5, 10) if span / (unit * factor) <= 5)
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
    return first * step, last * step, [round(i * step, 12) for i in range(first, last + 1)]


def _decades(low: float, high: float) -> tuple[float, float, list[float]]:
    """Limits and ticks in powers of ten, at most six of them."""
    first = math.floor(math.log10(low)) if low > 0 else -16
    last = max(math.ceil(math.log10(high)) if high > 0 else 0, first + 1)
    stride = -(-(last - first) // 5)
    return first, last, [float(i) for i in range(first, last + 1, stride)]


def _steps(count: int) -> range:
    """About six round positions on the axis of steps."""
    rough = max(count // 6, 1)
    unit = 10 ** (len(str(rough)) - 1)
    return range(0, count, next(unit * f for f in (1, 2, 5, 10) if unit * f >= rough))
