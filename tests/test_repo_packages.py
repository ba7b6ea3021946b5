"""What every package has, so that it can be published and used alone."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import versions
from workspace import ROOT, Package, packages, read_toml

NAMES = list(packages())


@pytest.mark.parametrize("name", NAMES)
def test_a_package_carries_its_licence_and_tells_what_it_is(name: str) -> None:
    directory = packages()[name].directory
    assert (directory / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    readme = (directory / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"# {name}\n")
    project = read_toml(directory / "pyproject.toml")["project"]
    assert project["license"] == "Apache-2.0"
    assert project["requires-python"] == ">=3.10"


@pytest.mark.parametrize("name", NAMES)
def test_a_package_is_typed(name: str) -> None:
    for directory in packages()[name].imports:
        assert (directory / "py.typed").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_a_package_leaves_the_tools_to_the_root(name: str) -> None:
    tools = read_toml(packages()[name].directory / "pyproject.toml")["tool"]
    assert tools.keys() == {"hatch"}
    assert tools["hatch"].keys() == {"build"}


@pytest.mark.parametrize("name", NAMES)
def test_every_public_module_says_by_hand_what_is_public(name: str) -> None:
    problems = []
    for path, module in public_modules(packages()[name]):
        names = written_all(path)
        if names is None:
            problems.append(f"{module}: __all__ is no list of literal names")
            continue
        there = importlib.import_module(module)
        problems += [f"{module}: {name} is not there" for name in names if not hasattr(there, name)]
        problems += [f"{module}: {name} stands twice" for name in names if names.count(name) > 1]
    assert not problems


def test_all_packages_are_of_one_version() -> None:
    assert list(versions.deviations()) == []


def test_the_changelog_knows_the_version() -> None:
    version = packages()["etcd-client"].version
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## .*\b{re.escape(version)}\b", changelog, re.MULTILINE)


def test_the_directories_of_the_packages_are_named_as_they_are() -> None:
    assert {package.directory.name for package in packages().values()} == set(NAMES)


def public_modules(package: Package) -> Iterator[tuple[Path, str]]:
    for directory in package.imports:
        for path in sorted(directory.rglob("*.py")):
            dotted = path.relative_to(directory.parent).with_suffix("").parts
            if dotted[-1] == "__init__":
                dotted = dotted[:-1]
            if "pb" not in dotted and not any(part.startswith("_") for part in dotted):
                yield path, ".".join(dotted)


def written_all(path: Path) -> list[str] | None:
    """The names in `__all__`, if it is a list of literals that is assigned once."""
    lists = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                lists.append(value)
            case ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.expr() as value):
                lists.append(value)
            case ast.AugAssign(target=ast.Name(id="__all__")):
                return None
    match lists:
        case [ast.List(elts=elements)]:
            names = [node.value for node in elements if isinstance(node, ast.Constant)]
            return [str(name) for name in names] if len(names) == len(elements) else None
    return None
