"""A drawing as SVG: layers of boxes from top to bottom, arrows around what lies between.

Sugiyama's method (1981) in its simplest form: a box stands one row below its lowest source, an
arrow that passes rows gets a lane in each, and rows are ordered by the mean position of their
neighbours.
"""

from __future__ import annotations

from collections import defaultdict
from html import escape

from specc.cli.drawing import Box, Drawing

BOX_HEIGHT, ROW_GAP, COLUMN_GAP, MARGIN = 46, 34, 28, 20
LANE_WIDTH = 12
CHARACTER_WIDTH = 7.2
SWEEPS = 8
FILLS = {"input": "#e3f1fb", "output": "#e2f5ec", "block": "#fff4dd", "layer": "#ffffff"}
STYLE = (
    "text{font:12px system-ui,Helvetica,Arial,sans-serif;text-anchor:middle;fill:#1c2430}"
    ".name{font-weight:600}.note{fill:#5b6675}rect{stroke:#8a97a8}"
    ".flow{fill:none;stroke:#5b6675;stroke-width:1.4;marker-end:url(#tip)}"
)


class _Layout:
    """Cells are boxes (0 ... n-1) and, behind them, the lanes of long arrows."""

    def __init__(self, drawing: Drawing) -> None:
        self.boxes = drawing.boxes
        self.row = self._rows(drawing)
        self.routes: list[list[int]] = []
        self.neighbours: dict[int, set[int]] = defaultdict(set)
        for source, target, _ in drawing.arrows:
            self.routes.append(self._route(source, target))
        self.order: list[list[int]] = [[] for _ in range(max(self.row, default=0) + 1)]
        for cell, row in enumerate(self.row):
            self.order[row].append(cell)
        self._sort()
        self.x = self._columns()

    def _rows(self, drawing: Drawing) -> list[int]:
        rows = [0] * len(drawing.boxes)
        for source, target, _ in sorted(drawing.arrows, key=lambda arrow: arrow[1]):
            rows[target] = max(rows[target], rows[source] + 1)
        return rows

    def _route(self, source: int, target: int) -> list[int]:
        route = [source]
        for row in range(self.row[source] + 1, self.row[target]):
            self.row.append(row)
            route.append(len(self.row) - 1)
        route.append(target)
        for upper, lower in zip(route, route[1:], strict=False):
            self.neighbours[upper].add(lower)
            self.neighbours[lower].add(upper)
        return route

    def _sort(self) -> None:
        place = {cell: i for row in self.order for i, cell in enumerate(row)}
        for sweep in range(SWEEPS):
            step = 1 if sweep % 2 == 0 else -1
            for row in self.order[::step]:
                keys = {cell: self._mean(cell, step, place) for cell in row}
                row.sort(key=keys.__getitem__)
                place.update({cell: i for i, cell in enumerate(row)})

    def _mean(self, cell: int, step: int, place: dict[int, int]) -> float:
        near = [place[n] for n in self.neighbours[cell] if self.row[n] == self.row[cell] - step]
        return sum(near) / len(near) if near else place[cell]

    def width(self, cell: int) -> float:
        if cell >= len(self.boxes):
            return LANE_WIDTH
        box = self.boxes[cell]
        return max(len(box.name), len(box.note), 8) * CHARACTER_WIDTH + 20

    def _columns(self) -> dict[int, float]:
        """Centres: every row is centred, its cells side by side."""
        spans = [sum(map(self.width, row)) + COLUMN_GAP * (len(row) - 1) for row in self.order]
        self.total = max(spans, default=0) + 2 * MARGIN
        found = {}
        for row, span in zip(self.order, spans, strict=True):
            x = (self.total - span) / 2
            for cell in row:
                found[cell] = x + self.width(cell) / 2
                x += self.width(cell) + COLUMN_GAP
        return found

    def y(self, cell: int) -> float:
        """The top of a cell."""
        return MARGIN + self.row[cell] * (BOX_HEIGHT + ROW_GAP)


def to_svg(drawing: Drawing) -> str:
    """One SVG image that needs no other file."""
    layout = _Layout(drawing)
    height = 2 * MARGIN + len(layout.order) * (BOX_HEIGHT + ROW_GAP) - ROW_GAP
    flows = [_flow(layout, route) for route in layout.routes]
    boxes = [_box(layout, index, box) for index, box in enumerate(drawing.boxes)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {layout.total:.0f} {height:.0f}"'
            f' width="{layout.total:.0f}" height="{height:.0f}">',
            f"<title>{escape(drawing.title)}</title>",
            f"<style>{STYLE}</style>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
            ' markerHeight="7" orient="auto">'
            '<path d="M0 0L8 4L0 8z" fill="#5b6675"/></marker></defs>',
            *flows,
            *boxes,
            "</svg>\n",
        ]
    )


def _flow(layout: _Layout, route: list[int]) -> str:
    x, y = layout.x[route[0]], layout.y(route[0]) + BOX_HEIGHT
    path = f"M{x:.1f} {y:.1f}"
    for cell in route[1:]:
        to_x, to_y = layout.x[cell], layout.y(cell)
        middle = (y + to_y) / 2
        path += f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}"
        x, y = to_x, to_y
        if cell != route[-1]:
            y += BOX_HEIGHT
            path += f"V{y:.1f}"
    return f'<path class="flow" d="{path}"/>'


def _box(layout: _Layout, index: int, box: Box) -> str:
    x, y, width = layout.x[index], layout.y(index), layout.width(index)
    round_corner = BOX_HEIGHT / 2 if box.role in ("input", "output") else 6
    return (
        f'<rect x="{x - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BOX_HEIGHT}"'
        f' rx="{round_corner:g}" fill="{FILLS[box.role]}"/>'
        f'<text class="name" x="{x:.1f}" y="{y + 19:.1f}">{escape(box.name)}</text>'
        f'<text class="note" x="{x:.1f}" y="{y + 35:.1f}">{escape(box.note)}</text>'
    )
