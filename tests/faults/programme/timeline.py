"""A picture of a run: its operations, its faults, and how long nothing succeeded."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from programme.history import History
from programme.probes import PROBES

__all__ = ["timeline"]

_WIDTH = 1400
_LEFT = 110
_LANE = 16
_COLOURS = {"ok": "#7fb685", "definite": "#e8a33d", "indefinite": "#c8342b"}
_WORST = ("ok", "definite", "indefinite")
_FAULT = "#4a6fa5"
_GAP = "#c8342b"


def timeline(history: History) -> str:
    """The picture as SVG. A column of a lane has the colour of the worst that began in it."""
    ends = [fault.end for fault in history.faults] + [
        operation.call for operation in history.operations
    ]
    length = max(ends, default=1.0)
    scale = (_WIDTH - _LEFT - 10) / length

    def at(time: float) -> float:
        return _LEFT + time * scale

    shapes: list[str] = []
    top = 40

    def lane(name: str) -> None:
        shapes.append(f'<text x="4" y="{top + 12}">{escape(name)}</text>')
        shapes.append(f'<path d="M{_LEFT} {top + _LANE - 1}H{_WIDTH - 10}" stroke="#ddd"/>')

    def bar(begin: float, end: float, colour: str, title: str) -> None:
        width = max(1.0, at(end) - at(begin))
        shapes.append(
            f'<rect x="{at(begin):.1f}" y="{top + 2}" width="{width:.1f}" height="{_LANE - 4}" '
            f'fill="{colour}"><title>{escape(title)}</title></rect>'
        )

    for member in sorted({fault.target for fault in history.faults}):
        lane(f"faults of {member}")
        for fault in history.faults:
            if fault.target == member:
                bar(fault.begin, fault.end, _FAULT, f"{fault.name} {fault.begin:.2f} s")
                shapes.append(
                    f'<text x="{at(fault.begin) + 2:.1f}" y="{top + 12}" fill="#fff" '
                    f'font-size="9">{escape(fault.name)}</text>'
                )
        top += _LANE
    for probe in PROBES:
        lane(f"no {probe}")
        for fault in history.faults:
            gap = fault.recovery.get(probe, 0.0)
            if gap:
                title = f"{fault.name}: {gap:.2f} s without a {probe}"
                bar(fault.begin, fault.begin + gap, _GAP, title)
        top += _LANE
    for client in sorted({operation.client for operation in history.operations}):
        lane(client)
        calls = [
            (int(at(each.call)), each.outcome)
            for each in history.operations
            if each.client == client
        ]
        for begin, end, outcome in _merged(calls):
            shapes.append(
                f'<rect x="{begin}" y="{top + 3}" width="{end - begin}" height="{_LANE - 6}" '
                f'fill="{_COLOURS[outcome]}"/>'
            )
        top += _LANE
    shapes += [
        f'<text x="{at(second):.0f}" y="{top + 14}">{second} s</text>'
        for second in range(0, int(length) + 1, max(1, int(length / 20)))
    ]
    about = history.about
    title = f"etcd {about.get('etcd')}, seed {about.get('seed')}: "
    legend = "green served, orange failed without effect, red unknown; blue faults"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top + 24}" '
        'font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="4" y="20" font-size="14">{escape(title + legend)}</text>'
        + "".join(shapes)
        + "</svg>\n"
    )


def _merged(calls: Iterable[tuple[int, str]]) -> list[tuple[int, int, str]]:
    """The columns with calls, neighbours of one colour as one."""
    columns: dict[int, str] = {}
    for column, outcome in calls:
        known = columns.get(column, "ok")
        columns[column] = max(known, outcome, key=_WORST.index)
    merged: list[tuple[int, int, str]] = []
    for column, outcome in sorted(columns.items()):
        if merged and merged[-1][1:] == (column, outcome):
            merged[-1] = (merged[-1][0], column + 1, outcome)
        else:
            merged.append((column, column + 1, outcome))
    return merged
