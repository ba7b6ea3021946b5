"""What holds for the files of the repository, whatever is in them."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from workspace import ROOT

# Written in parts, so that this file does not hold what it looks for.
MACHINE = re.compile("|".join(["/" + "work/", "/" + "root/", "/" + "tmp/", "/" + r"home/\w"]))
# Hosts that are nobody's do not count: those of RFC 6761, and those that are filled in.
MIRROR = re.compile(r"https?://(?!pypi\.org|[^/\s]*(\.test|\}))[^/\s\"']+/(simple|debian)\b")


def test_no_file_knows_the_machine_that_it_was_written_on() -> None:
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


def test_no_two_test_files_have_one_name() -> None:
    """One run of mypy over all of them takes each for a module of its bare name."""
    names = Counter(path.name for path in tracked_files() if path.name.startswith("test_"))
    assert [name for name, count in names.items() if count > 1] == []


def test_test_files_are_named_for_their_subject() -> None:
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


def tracked_files() -> list[Path]:
    """What git tracks; in a copy without git, what is not hidden or made by a tool."""
    if (ROOT / ".git").exists():
        command = ["git", "-C", str(ROOT), "ls-files", "-z"]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = [ROOT / name for name in output.split("\0") if name]
    else:
        made = {".cache", ".venv", "dist", "__pycache__", ".hypothesis"}
        found = [path for path in ROOT.rglob("*") if not made.intersection(path.parts)]
    return [path for path in found if path.is_file()]


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    yield from enumerate(text.splitlines(), start=1)
