"""Plots as SVG, small enough for a phone, and in the colours of the reader's scheme.

They are drawn here, since a plotting library would bring more than it saves: a line chart with two
logarithmic axes is all that is needed, and the text stays text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

from findings import Line, Plot

__all__ = ["COLOURS", "svg"]

# In the coordinates of a narrow phone, so that the text is as large there as it is set.
WIDTH, LEFT, RIGHT, TOP = 390, 52, 20, 62
AXES = 230
ROW = 20
MARKERS = "osdtxv*p"

COLOURS = {
    "ours": ("#c2185b", "#ff79b0"),
    "ours, coalesced": ("#6a1b9a", "#d59bff"),
    "put_many": ("#c2185b", "#ff79b0"),
    "get_many": ("#6a1b9a", "#d59bff"),
    "scan_prefix": ("#00695c", "#4fd8c4"),
    "Mutex": ("#c2185b", "#ff79b0"),
    "lock": ("#6a1b9a", "#d59bff"),
    "grpc.aio": ("#555f6b", "#b6c2cf"),
    "one raw Range": ("#555f6b", "#b6c2cf"),
    "aetcd": ("#b35900", "#ffb74d"),
    "etcd3aio": ("#7a6a00", "#e6d24a"),
    "etcd-client-py": ("#a52a14", "#ff8a70"),
    "Go": ("#0063a8", "#64b9ff"),
}
OTHERS = [("#2e7d32", "#81d884"), ("#4527a0", "#a99bff")]

STYLE = """text { font: 13px system-ui, sans-serif; fill: #1f2933 }
.title { font-weight: 600; font-size: 15px }
.unit { fill: #52606d }
.card { fill: #ffffff; stroke: #cbd2d9 }
.grid { stroke: #e4e7eb }
.line { fill: none; stroke-width: 2 }
"""
DARK = """text { fill: #e4e7eb }
.unit { fill: #9aa5b1 }
.card { fill: #1f2430; stroke: #3e4c59 }
.grid { stroke: #323f4b }
"""


class Axis:
    """A logarithmic axis, from pixel to pixel, over all values."""

    def __init__(self, values: Iterable[float], first: float, last: float, *, whole: bool) -> None:
        known = list(values)
        low, high = math.log10(min(known)), math.log10(max(known))
        if whole:
            # The ends are round numbers, so that the lines stay inside.
            low, high = _step_down(low), _step_up(high)
        if high - low < 0.3:
            low, high = low - 0.15, high + 0.15
        self._low, self._high, self._first, self._last = low, high, first, last

    def at(self, value: float) -> float:
        part = (math.log10(value) - self._low) / (self._high - self._low)
        return round(self._first + part * (self._last - self._first), 1)

    def ticks(self) -> list[float]:
        steps = (1, 2, 5) if self._high - self._low < 2.2 else (1,)
        powers = range(math.floor(self._low), math.ceil(self._high) + 1)
        every = [step * 10.0**power for power in powers for step in steps]
        return [tick for tick in every if self._low - 1e-9 <= math.log10(tick) <= self._high + 1e-9]


def _step_down(exponent: float) -> float:
    return max(
        math.log10(step) + whole
        for whole in (math.floor(exponent) - 1, math.floor(exponent))
        for step in (1, 2, 5)
        if math.log10(step) + whole <= exponent + 1e-9
    )


def _step_up(exponent: float) -> float:
    return min(
        math.log10(step) + whole
        for whole in (math.floor(exponent), math.floor(exponent) + 1)
        for step in (1, 2, 5)
        if math.log10(step) + whole >= exponent - 1e-9
    )


def number(value: float) -> str:
    """A short number: `20k`, `1M`, `0.5`."""
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{suffix}"
    return f"{value:g}"


def svg(plot: Plot) -> str:
    """The plot as a document."""
    xs = sorted({x for line in plot.lines for x, _ in line.points})
    across = Axis(xs, LEFT, WIDTH - RIGHT, whole=False)
    upward = Axis((y for line in plot.lines for _, y in line.points), TOP + AXES, TOP, whole=True)
    legend_top = TOP + AXES + 58
    height = legend_top + ROW * math.ceil(len(plot.lines) / 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' aria-label="{escape(plot.alt)}">',
        f"<style>\n{STYLE}{colours(plot.lines, 0)}"
        f"@media (prefers-color-scheme: dark) {{\n{DARK}{colours(plot.lines, 1)}}}\n</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>',
        f'<text class="title" x="14" y="24">{escape(plot.title)}</text>',
        f'<text class="unit" x="14" y="44">{escape(plot.upward)}</text>',
        *(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
            f'<text class="unit" x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{label}</text>'
            for y, label in ((upward.at(tick), number(tick)) for tick in upward.ticks())
        ),
        *(
            f'<line class="grid" x1="{at}" x2="{at}" y1="{TOP}" y2="{TOP + AXES}"/>'
            f'<text class="unit" x="{at}" y="{TOP + AXES + 18}" text-anchor="middle">'
            f"{number(x)}</text>"
            for x, at in ((x, across.at(x)) for x in xs)
        ),
        f'<text class="unit" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{TOP + AXES + 36}"'
        f' text-anchor="middle">{escape(plot.across)}</text>',
    ]
    for index, line in enumerate(plot.lines):
        points = [(across.at(x), upward.at(y)) for x, y in line.points]
        path = " ".join(f"{x},{y}" for x, y in points)
        parts.append(f'<polyline class="line c{index}" points="{path}"/>')
        parts += [marker(MARKERS[index % len(MARKERS)], x, y, index) for x, y in points]
        column, row = index % 2, index // 2
        x, y = 24 + column * (WIDTH // 2 - 6), legend_top + row * ROW
        parts.append(f'<line class="line c{index}" x1="{x - 10}" x2="{x + 10}" y1="{y}" y2="{y}"/>')
        parts.append(marker(MARKERS[index % len(MARKERS)], x, y, index))
        parts.append(f'<text x="{x + 16}" y="{y + 4}">{escape(line.client)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def colours(lines: list[Line], scheme: int) -> str:
    """The rules for the lines in the light (0) or the dark scheme (1)."""
    known = [
        COLOURS.get(line.client, OTHERS[index % len(OTHERS)]) for index, line in enumerate(lines)
    ]
    return "".join(
        f".c{index} {{ stroke: {both[scheme]} }} .m{index} {{ fill: {both[scheme]} }}\n"
        for index, both in enumerate(known)
    )


def marker(form: str, x: float, y: float, index: int) -> str:
    """A sign of its own for each line, for those to whom colours are alike."""
    size = 4
    corners = {
        "s": [(-size, -size), (size, -size), (size, size), (-size, size)],
        "d": [(0, -size - 1), (size + 1, 0), (0, size + 1), (-size - 1, 0)],
        "t": [(0, -size - 1), (size + 1, size), (-size - 1, size)],
        "v": [(0, size + 1), (size + 1, -size), (-size - 1, -size)],
        "p": [(-5, -2), (5, -2), (5, 2), (-5, 2)],
        "*": [(-2, -5), (2, -5), (2, 5), (-2, 5)],
    }
    if form in corners:
        points = " ".join(f"{x + dx:g},{y + dy:g}" for dx, dy in corners[form])
        return f'<polygon class="m{index}" points="{points}"/>'
    if form == "x":
        return (
            f'<path class="line c{index}" d="M{x - 4:g} {y - 4:g}l8 8M{x - 4:g} {y + 4:g}l8 -8"/>'
        )
    return f'<circle class="m{index}" cx="{x:g}" cy="{y:g}" r="{size}"/>'
