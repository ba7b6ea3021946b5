"""Draws docs/img/tour.svg: what `python3 tools/dev.py demo` prints in a terminal.

python3 tools/tour_picture.py   take the tour, and draw its first chapters

Only the standard library is imported here. The lines are short enough to be read on a phone.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

__all__ = ["CHAPTERS", "PICTURE", "draw", "main", "wrapped"]

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "img" / "tour.svg"
COMMAND = "python3 tools/dev.py demo"

CHAPTERS = ("Keys and values", "Transactions", "Watches", "Leases", "Locks")
"""The chapters that are drawn; the others have long lines."""

COLUMNS = 58
CHARACTER = 8.4
"""The width of a character, and below the height of a line, in the units of the picture."""
LINE = 20
MARGIN = 14
TOP = 44

# Text is placed by columns, so that it is right in whatever font of fixed width there is.
STYLE = """\
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
       fill: #d6deeb; white-space: pre }
.c1 { fill: #ffffff; font-weight: bold }
.c33 { fill: #ecc48d }
.c36 { fill: #7fdbca }
.title { fill: #8a94a6 }
rect { fill: #0b1622; stroke: #475569 }"""

_ESCAPE = re.compile("\x1b\\[([0-9]*)m")

Line = list[tuple[str, str]]
"""Characters, each with the code of its colour; an empty one for none."""


def main(arguments: list[str]) -> int:
    if arguments:
        print((__doc__ or "").strip())
        return 0 if arguments == ["--help"] else 2
    printed = tour()
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(printed), encoding="utf-8")
    print(f"drew {PICTURE.relative_to(ROOT)}")
    return 0


def tour() -> str:
    """What the tour prints, in colours: to a terminal."""
    here, there = pty.openpty()
    variables = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        [sys.executable, *COMMAND.split()[1:]],
        cwd=ROOT,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=there,
    ) as process:
        os.close(there)
        printed = b"".join(chunks(here))
    os.close(here)
    if process.returncode != 0:
        raise SystemExit(f"tour_picture.py: the tour ended with exit code {process.returncode}")
    return printed.decode().replace("\r\n", "\n")


def chunks(terminal: int) -> Iterator[bytes]:
    # Linux reports an error in place of the end.
    try:
        while chunk := os.read(terminal, 65536):
            yield chunk
    except OSError:
        return


def draw(printed: str) -> str:
    """The picture of the chapters in what the tour printed."""
    lines = [short for line in chosen(printed) for short in wrapped(coloured(line))]
    width = round(2 * MARGIN + COLUMNS * CHARACTER)
    height = TOP + len(lines) * LINE + MARGIN
    drawn = [
        f'<text y="{TOP + (number + 1) * LINE - 6}">{spans(line)}</text>'
        for number, line in enumerate(lines)
        if line
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
            ' aria-label="The tour of the client, in a terminal">',
            f"<style>\n{STYLE}\n</style>",
            f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>',
            f'<text class="title" x="{MARGIN}" y="28">$ {escape(COMMAND)}</text>',
            *drawn,
            "</svg>\n",
        ]
    )


def chosen(printed: str) -> Iterator[str]:
    """The lines of the chapters that are drawn; an empty line is before each but the first."""
    first = True
    for part in printed.split("\n\n"):
        lines = part.strip("\n").split("\n")
        if _ESCAPE.sub("", lines[0]) in CHAPTERS:
            if not first:
                yield ""
            first = False
            yield from lines


def coloured(line: str) -> Line:
    code, place, characters = "", 0, []
    for match in _ESCAPE.finditer(line):
        characters += [(character, code) for character in line[place : match.start()]]
        code, place = match[1].removeprefix("0"), match.end()
    return characters + [(character, code) for character in line[place:]]


def wrapped(line: Line) -> Iterator[Line]:
    """A line as lines of at most COLUMNS characters, broken before the arrow, or else at blanks."""
    text = "".join(character for character, _ in line)
    if len(line) <= COLUMNS:
        yield line
        return
    arrow = text.find(" → ")
    inner = len(text) - len(text.lstrip()) + 4
    place = arrow if arrow > inner else text.rfind(" ", inner + 1, COLUMNS + 1)
    if place <= inner:
        place = COLUMNS
    yield from wrapped(line[:place])
    rest = line[place:]
    while rest and rest[0][0] == " ":
        rest = rest[1:]
    yield from wrapped([(" ", "")] * inner + rest)


def spans(line: Line) -> str:
    """The line as pieces of one colour, each at its column and as wide as its characters."""
    pieces: list[tuple[int, str, str]] = []
    for column, (character, code) in enumerate(line):
        if pieces and pieces[-1][2] == code:
            start, text, _ = pieces[-1]
            pieces[-1] = (start, text + character, code)
        else:
            pieces.append((column, character, code))
    return "".join(span(*piece) for piece in pieces if piece[1].strip())


def span(column: int, text: str, code: str) -> str:
    shown = text.strip()
    x = MARGIN + (column + len(text) - len(text.lstrip())) * CHARACTER
    colour = f' class="c{code}"' if code else ""
    length = f'textLength="{len(shown) * CHARACTER:.1f}"'
    return f'<tspan x="{x:.1f}" {length}{colour}>{escape(shown)}</tspan>'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
