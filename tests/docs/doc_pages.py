"""The code blocks of a page of documentation, and how each is to be run.

CONTRIBUTING.md has the convention.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workspace import ROOT

__all__ = ["PAGES", "PYTHON", "SHELL", "Block", "Kind", "blocks_of", "name_of"]

Kind = Literal["plain", "background", "hidden", "types-only"]

PYTHON = ("python", "py")
SHELL = ("sh", "bash", "console", "shell")

PAGES = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "packages").glob("*/README.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
    *sorted((ROOT / "examples").glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]

FENCE = re.compile(r"(?P<indent> *)(?P<ticks>`{3,}|~{3,})\s*(?P<language>[\w-]*)(?P<rest>.*)")
# A page runs in an event loop, in which synchronous calls are refused.
_SYNCHRONOUS = re.compile(r"^(import|from) etcd_sync", re.MULTILINE)
STEER = re.compile(r"\s*<!-- *run: *(?P<kind>[\w-]+) *(?P<rest>.*)")


@dataclass(frozen=True)
class Block:
    """A block of code: its text, without indentation, and its first line in the page."""

    page: Path
    line: int
    language: str
    text: str
    kind: Kind = "plain"
    reason: str = ""

    @property
    def place(self) -> str:
        return f"{name_of(self.page)}:{self.line}"

    @property
    def is_program(self) -> bool:
        """Whether it is run in a process of its own."""
        return "asyncio.run(" in self.text or re.search(_SYNCHRONOUS, self.text) is not None

    @property
    def is_tests(self) -> bool:
        """Whether it is run by pytest."""
        return re.search(r"^(async )?def test_", self.text, re.MULTILINE) is not None


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix() if page.is_relative_to(ROOT) else page.name


def blocks_of(page: Path, text: str | None = None) -> list[Block]:
    """All blocks of a page, the hidden ones too, in order; their languages are as written."""
    lines = (page.read_text(encoding="utf-8") if text is None else text).splitlines()
    blocks: list[Block] = []
    kind: Kind = "plain"
    reason, index = "", 0
    while index < len(lines):
        line = lines[index]
        if steered := STEER.fullmatch(line):
            kind, reason = steering(steered["kind"], steered["rest"], page, index)
            if kind == "hidden":
                end = find(lines, index + 1, "-->", page)
                inside = [line for line in lines[index + 1 : end] if not line.startswith("```")]
                blocks.append(Block(page, index + 2, "python", dedent(inside), "hidden"))
                kind, index = "plain", end
        elif fence := FENCE.fullmatch(line):
            end = find(lines, index + 1, fence["ticks"], page)
            code = dedent(lines[index + 1 : end])
            blocks.append(Block(page, index + 2, fence["language"], code, kind, reason))
            kind, reason, index = "plain", "", end
        elif kind != "plain":
            raise error(page, index, "a steering comment is followed by a block of code at once")
        index += 1
    return blocks


def steering(kind: str, rest: str, page: Path, index: int) -> tuple[Kind, str]:
    """The kind of block and the reason that a comment gives, whose first line this is."""
    reason = rest.removesuffix("-->").strip()
    closed = rest.endswith("-->")
    if kind == "hidden" and not rest:
        return "hidden", ""
    if kind == "background" and closed and not reason:
        return "background", ""
    if kind == "types-only" and closed and reason:
        return "types-only", reason
    raise error(
        page,
        index,
        "the comment must be '<!-- run: background -->', '<!-- run: types-only REASON -->', or"
        " '<!-- run: hidden' and lines of Python up to '-->'",
    )


def find(lines: list[str], start: int, mark: str, page: Path) -> int:
    for index in range(start, len(lines)):
        if lines[index].strip() == mark:
            return index
    raise error(page, start - 1, f"{mark!r} is missing")


def dedent(lines: list[str]) -> str:
    return textwrap.dedent("".join(f"{line}\n" for line in lines))


def error(page: Path, index: int, problem: str) -> ValueError:
    return ValueError(f"{name_of(page)}:{index + 1}: {problem}")
