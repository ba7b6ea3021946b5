"""The picture of the tour in README.md is drawn from what the tour prints."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import tour_picture
from workspace import ROOT

SVG = "{http://www.w3.org/2000/svg}"

PRINTED = """Started etcd 3.5.1.

\x1b[1mWatches\x1b[0m
  \x1b[33mwatch_prefix(b'w/')\x1b[0m \x1b[36m→\x1b[0m from <revision> 11 & on

\x1b[1mUsers and roles\x1b[0m
  \x1b[33muser_get('alice')\x1b[0m \x1b[36m→\x1b[0m User

\x1b[1mLocks\x1b[0m
  \x1b[33mlock(b'lock')\x1b[0m \x1b[36m→\x1b[0m held
"""


def test_the_picture_has_the_calls_and_results_of_its_chapters() -> None:
    lines = [texts(line) for line in drawn(tour_picture.draw(PRINTED)) if texts(line)]
    assert lines == [
        ["Watches"],
        ["watch_prefix(b'w/')", "→", "from <revision> 11 & on"],
        ["Locks"],
        ["lock(b'lock')", "→", "held"],
    ]


def test_a_long_line_is_broken_before_its_result() -> None:
    line = tour_picture.coloured(f"  put({'k' * 40}) → {'a result of some words ' * 3}")
    broken = ["".join(character for character, _ in part) for part in tour_picture.wrapped(line)]
    assert broken[0] == f"  put({'k' * 40})"
    assert broken[1].startswith("      → a result of some words")
    assert all(len(part) <= tour_picture.COLUMNS for part in broken)
    assert " ".join(" ".join(broken).split()).count("a result of some words") == 3


def test_a_word_that_is_longer_than_a_line_is_broken_too() -> None:
    broken = list(tour_picture.wrapped(tour_picture.coloured("  → " + "x" * 200)))
    assert all(len(part) <= tour_picture.COLUMNS for part in broken)
    assert sum(character == "x" for part in broken for character, _ in part) == 200


def test_the_picture_that_is_checked_in_shows_the_tour_of_today() -> None:
    """Its chapters and the first words of its calls are in the source of the tour."""
    picture = tour_picture.PICTURE.read_text(encoding="utf-8")
    source = (ROOT / "examples" / "tour.py").read_text(encoding="utf-8")
    assert f"$ {tour_picture.COMMAND}" in picture
    titles = [
        texts(line)[0]
        for line in drawn(picture)
        if line.find(f"{SVG}tspan[@class='c1']") is not None
    ]
    assert titles == list(tour_picture.CHAPTERS)
    assert [title for title in titles if f'chapter("{title}")' not in source] == []
    calls = [
        str(part.text)
        for line in drawn(picture)
        for part in line.iter()
        if part.get("class") == "c33"
    ]
    # Some have a revision or the kind of an event in them.
    words = [found[0] for call in calls if (found := re.match(r"[a-z][\w' ]*", call))]
    assert len(words) > 10
    assert [word for word in words if word not in source] == []


def test_the_picture_needs_nothing_from_elsewhere() -> None:
    picture = tour_picture.PICTURE.read_text(encoding="utf-8")
    assert re.findall(r"https?://[^\"' ]+", picture) == ["http://www.w3.org/2000/svg"]
    assert "url(" not in picture
    assert "href" not in picture


def test_the_readme_shows_the_picture() -> None:
    place = tour_picture.PICTURE.relative_to(ROOT).as_posix()
    assert f"]({place})" in (ROOT / "README.md").read_text(encoding="utf-8")


def drawn(picture: str) -> list[ET.Element]:
    """The lines of text under the title."""
    lines = list(ET.fromstring(picture).iter(f"{SVG}text"))
    return [line for line in lines if line.get("class") != "title"]


def texts(line: ET.Element) -> list[str]:
    return [str(part.text) for part in line]
