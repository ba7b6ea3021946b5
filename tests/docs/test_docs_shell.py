"""The commands in the READMEs and in docs/ name programs, files and distributions that exist."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import ci_steps
import pytest
from doc_pages import PAGES, PYTHON, SHELL, Block, blocks_of
from workspace import ROOT, packages

KNOWN = {
    "aetcd",
    "anyio",
    "dnspython",
    "etcd-client-py",
    "hypothesis",
    "pytest",
    "pytest-asyncio",
    "trustme",
}
"""Distributions of others that a page has installed or removed."""

PROGRAMS = {"cd", "git", "pytest", "tar"}
"""Programs whose arguments are not checked."""

ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")

BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def problems_of(command: str) -> list[str]:
    """What a line of a shell block names that does not exist."""
    words = shlex.split(command, comments=True)
    while words and ASSIGNMENT.fullmatch(words[0]):
        words = words[1:]
    match words:
        case [] | ["source", _]:
            return []
        case ["python3", "tools/dev.py", name, *rest]:
            return [name for name in [name] if name not in commands()] + missing(rest)
        case ["python3" | "python", script, *_] if script.endswith(".py"):
            return missing([script])
        case ["python3" | "python", "-m", "venv", _]:
            return []
        case ["bash", ".ci/run", *steps]:
            return [step for step in steps if step not in ci_steps.steps()]
        case ["pip", "install" | "uninstall", *rest]:
            return [name for name in map(distribution, rest) if name not in {*packages(), *KNOWN}]
        case [program, *_]:
            return [] if program in PROGRAMS else [program]
    raise AssertionError("unreachable")


def commands() -> set[str]:
    usage = ast.get_docstring(ast.parse((ROOT / "tools" / "dev.py").read_text(encoding="utf-8")))
    return set(re.findall(r"tools/dev\.py ([\w-]+)", usage or ""))


def missing(words: list[str]) -> list[str]:
    return [
        word
        for word in words
        if re.fullmatch(r"[\w-]+(/[\w.-]+)+", word) and not (ROOT / word).exists()
    ]


def distribution(word: str) -> str:
    """The name in an argument of pip; one of ours for an option or a path, which is no name."""
    return "etcd-client" if word.startswith(("-", ".")) else re.split(r"[\[=<>~!;]", word)[0]


def lines_of(block: Block) -> list[str]:
    joined = block.text.replace("\\\n", " ")
    return [line.removeprefix("$ ") for line in joined.splitlines()]


@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if block.language in SHELL],
    ids=lambda block: block.place,
)
def test_a_block_of_commands_names_what_exists(block: Block) -> None:
    found = {line: problems for line in lines_of(block) if (problems := problems_of(line))}
    assert found == {}


def test_no_block_has_a_language_that_is_not_checked() -> None:
    # A block without a language is a picture or what a program prints.
    checked = {*PYTHON, *SHELL, "text", ""}
    assert {block.place: block.language for block in BLOCKS if block.language not in checked} == {}


@pytest.mark.parametrize(
    ("command", "problems"),
    [
        ("python3 tools/dev.py tset", ["tset"]),
        ("python3 tools/dev.py test packages/etcd-nothing -k x", ["packages/etcd-nothing"]),
        ("ETCD_BIN_DIR=/opt/etcd python3 tools/nothing.py", ["tools/nothing.py"]),
        ("bash .ci/run lint nothing", ["nothing"]),
        ('pip install etcd-kv "etcd-nothing[all]>=1" --no-deps', ["etcd-nothing"]),
        ("etcd-nothing --help", ["etcd-nothing"]),
        ("python examples/leader.py", []),
        ("pip install . pytest  # all", []),
        ("# a remark", []),
    ],
)
def test_what_does_not_exist_is_found(command: str, problems: list[str]) -> None:
    assert problems_of(command) == problems


def test_a_command_over_several_lines_is_one() -> None:
    block = Block(Path("page.md"), 1, "sh", "$ pip install \\\n    etcd-kv\n")
    assert [line.split() for line in lines_of(block)] == [["pip", "install", "etcd-kv"]]
