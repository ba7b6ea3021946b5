"""The documents name files, commands and code that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
from workspace import ROOT, packages

# Directories that tools make, which are not in a clone.
MADE = {".cache", ".venv", ".hypothesis", "__pycache__", "dist"}

DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.rglob("*.md")
    if not MADE.intersection(path.relative_to(ROOT).parts)
)
# Documents that name places in the source.
GUIDES = ["ARCHITECTURE.md", "CONTRIBUTING.md"]

LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)")
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SUFFIXES = (".ini", ".md", ".proto", ".py", ".toml", ".tsv", ".txt", ".yaml")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_target_of_a_relative_link_exists(document: str) -> None:
    path = ROOT / document
    broken = [link for link in links_in(text_of(document)) if not leads(path.parent, link)]
    assert not broken


@pytest.mark.parametrize("document", GUIDES)
def test_a_named_file_exists(document: str) -> None:
    named = [word for word in words_in(document) if is_path(word) and not is_made(word)]
    assert named
    assert not [word for word in named if not exists(word)]


def test_the_code_named_in_the_architecture_exists() -> None:
    """A name is a word, or the last word of a chain such as `Channel.call`."""
    known = {*defined_names(), *packages(), *(path.name for path in import_packages())}
    named = [word for word in words_in("ARCHITECTURE.md") if not is_path(word)]
    names = [word for word in named if re.fullmatch(r"[A-Za-z_][\w.]*(\(\))?", word)]
    assert len(names) > 30
    strange = [word for word in names if word.removesuffix("()").split(".")[-1] not in known]
    # Names of Python.
    assert set(strange) <= {"False", "async", "asyncio.wait_for"}


def test_a_name_is_in_the_file_that_the_architecture_names_beside_it() -> None:
    text = text_of("ARCHITECTURE.md")
    beside = re.findall(r"`([A-Za-z_][\w.]*)`\s+\(`(\w+/\w+\.py)`\)", text)
    assert len(beside) > 20
    strays = [
        f"{name}: {file}"
        for name, file in beside
        for source in (path.parent / file for path in import_packages())
        if source.exists() and name.split(".")[-1] not in names_in(source)
    ]
    assert strays == []


def test_the_names_in_the_pictures_of_the_architecture_are_there() -> None:
    known = {*defined_names(), *(path.name for path in import_packages())}
    pictures = FENCE.findall((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    names = re.findall(r"[A-Za-z]+_\w+|\b[A-Z]\w*[a-z]\w*(?:\.\w+)?", "".join(pictures))
    assert len(names) > 20
    assert [name for name in names if not {*name.split(".")} <= known] == []


@pytest.mark.parametrize("document", [*DOCUMENTS, ".pre-commit-config.yaml"])
def test_a_named_command_of_the_clone_exists(document: str) -> None:
    usage = ast.get_docstring(ast.parse((ROOT / "tools" / "dev.py").read_text(encoding="utf-8")))
    assert usage is not None
    there = set(re.findall(r"tools/dev\.py ([\w-]+)", usage))
    text = (ROOT / document).read_text(encoding="utf-8")
    assert set(re.findall(r"tools/dev\.py ([\w-]+)", text)) <= there
    for tests in re.findall(r"tools/dev\.py (?:test|cover)([^`\n]*)", text):
        assert not [word for word in tests.split() if "/" in word and not exists(word)]


def test_the_hooks_run_nothing_but_the_commands_of_the_clone() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"repo: (.*)", text) == ["local"]
    entries = re.findall(r"entry: (.*)", text)
    assert len(entries) == len(re.findall(r"- id: ", text))
    assert all(entry.startswith("python3 tools/dev.py ") for entry in entries)


def test_links_and_paths_are_detected_in_every_form(tmp_path: Path) -> None:
    text = "[a](b.md) ![c](<d.png>) [e](f.md#g 'title') [h](#i) [j](https://k.test/l.md)"
    assert list(links_in(text)) == ["b.md", "d.png", "f.md#g", "#i", "https://k.test/l.md"]
    (tmp_path / "b c.md").touch()
    assert leads(tmp_path, "b%20c.md#part")
    assert leads(tmp_path, "https://k.test/l.md")
    assert not leads(tmp_path, "d.png")
    assert list(map(is_path, ["a.py", "a/b", "A.b", "a/<b>/", "ruff check"])) == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert exists("etcd_channel/channel.py")
    assert exists("tests/test_repo_*.py")
    assert not exists("etcd_channel/no_such.py")


def text_of(document: str) -> str:
    """A document without its blocks of code."""
    return FENCE.sub("", (ROOT / document).read_text(encoding="utf-8"))


def links_in(text: str) -> Iterator[str]:
    return (match.group(1) for match in LINK.finditer(text))


def leads(directory: Path, link: str) -> bool:
    """Whether a link leads to a file or a directory; addresses on the net are not looked up."""
    if re.match(r"[a-z]+:", link):
        return True
    target = unquote(link.partition("#")[0])
    return not target or (directory / target).exists()


def words_in(document: str) -> list[str]:
    return CODE.findall(text_of(document))


def is_path(word: str) -> bool:
    """Whether a word in code is a file or a directory; `.proto` alone is a kind of file."""
    plain = re.fullmatch(r"[\w.*-][\w./*-]*", word) is not None
    return plain and ("/" in word or word.endswith(SUFFIXES)) and word not in SUFFIXES


def is_made(word: str) -> bool:
    """Whether a command of the clone makes it."""
    return not MADE.isdisjoint(word.split("/"))


def exists(word: str) -> bool:
    """Whether there is such a file in the clone, in an import package, or in each package."""
    sources = (path.parent for path in import_packages())
    inside = (*import_packages(), *(package.directory for package in packages().values()))
    return any(any(place.glob(word)) for place in (ROOT, *sources, *inside))


def import_packages() -> list[Path]:
    return [path for package in packages().values() for path in package.imports]


@cache
def defined_names() -> frozenset[str]:
    """Every name that the packages give to a module, a class, a function or an attribute."""
    files = (path for directory in import_packages() for path in directory.rglob("*.py"))
    return frozenset(name for path in files for name in names_in(path))


def names_in(path: Path) -> set[str]:
    """Every name that a module gives to something, and its own."""
    names = {path.stem}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                names.add(name)
            case ast.AsyncFunctionDef(name=name) | ast.arg(arg=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.Attribute(attr=name, ctx=ast.Store()):
                names.add(name)
    return names


GUARANTEES = "docs/guarantees.md"


def test_each_test_that_the_guarantees_name_exists() -> None:
    """If a test was renamed, write its new name there."""
    named = {word for word in words_in(GUARANTEES) if word.startswith("test_")}
    assert len(named) > 50
    assert not named - defined_tests()


def test_each_guarantee_names_a_test_or_says_whose_promise_it_is() -> None:
    points = re.split(r"^- ", text_of(GUARANTEES).partition("## Calls")[2], flags=re.MULTILINE)
    assert len(points) > 40
    assert not [
        point for point in points[1:] if "`test_" not in point and "etcd's own promise" not in point
    ]


@cache
def defined_tests() -> frozenset[str]:
    modules = (*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("packages/*/tests/test_*.py"))
    return frozenset(
        name
        for path in modules
        for name in re.findall(r"def (test_\w+)\(", path.read_text(encoding="utf-8"))
    )
