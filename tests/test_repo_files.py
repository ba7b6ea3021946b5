"""Rules for every file of the repository."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from workspace import ROOT, tracked_files

# In parts, so that this file does not match itself.
MACHINE = re.compile("|".join(["/" + "work/", "/" + "root/", "/" + "tmp/", "/" + r"home/\w"]))
# Hosts of RFC 6761 and placeholders are allowed.
MIRROR = re.compile(r"https?://(?!pypi\.org|[^/\s]*(\.test|\}))[^/\s\"']+/(simple|debian)\b")


def test_no_file_contains_a_path_or_host_of_a_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in tracked_files()
        for number, line in lines_of(path)
        if MACHINE.search(line) or MIRROR.search(line)
    ]
    assert not found


def test_the_readme_opens_with_two_commands_of_one_line_each() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    demo, test = blocks[:2]
    assert demo == "python3 tools/dev.py demo\n"
    assert test == "python3 tools/dev.py test\n"


def test_no_two_test_files_have_the_same_name() -> None:
    """One run of mypy over all of them takes each for a module of that name."""
    names = Counter(path.name for path in tracked_files() if path.name.startswith("test_"))
    assert [name for name, count in names.items() if count > 1] == []


def test_test_files_are_named_after_their_subject() -> None:
    strays = [
        str(path.relative_to(ROOT))
        for path in tracked_files()
        if path.suffix == ".py" and path.parent.name == "tests"
        if path.name != "conftest.py" and not re.fullmatch(r"\w+\.py", path.name)
    ]
    assert not strays


def test_there_is_no_project_file_at_the_root() -> None:
    assert not (ROOT / "pyproject.toml").exists()
    assert not (ROOT / "setup.py").exists()


def test_files_follow_the_editorconfig() -> None:
    """UTF-8; no white space before a newline, and one newline at the end."""
    strays = []
    for path in tracked_files():
        text = path.read_bytes().decode("utf-8")
        lines = text.split("\n")
        ends_well = not text or (lines.pop() == "" and lines[-1] != "")
        # An empty last column ends in a tab.
        blank = "\r" if path.suffix == ".tsv" else "\r\t "
        if not ends_well or any(line != line.rstrip(blank) for line in lines):
            strays.append(str(path.relative_to(ROOT)))
    assert not strays


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    yield from enumerate(text.splitlines(), start=1)
