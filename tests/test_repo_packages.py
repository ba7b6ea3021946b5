"""The parts that every package needs to be published and used alone."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import versions
from distributions import PYTHONS
from workspace import ROOT, Package, packages, read_toml

NAMES = list(packages())


@pytest.mark.parametrize("name", NAMES)
def test_a_package_has_a_licence_and_a_description(name: str) -> None:
    directory = packages()[name].directory
    assert (directory / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    readme = (directory / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"# {name}\n")
    project = read_toml(directory / "pyproject.toml")["project"]
    assert project["license"] == "Apache-2.0"
    assert project["requires-python"] == ">=3.10"


@pytest.mark.parametrize("name", NAMES)
def test_a_package_says_what_an_index_shows(name: str) -> None:
    project = read_toml(packages()[name].directory / "pyproject.toml")["project"]
    assert project["description"].endswith(".")
    assert sorted(project["keywords"]) == project["keywords"]
    assert {"etcd", "asyncio"} <= set(project["keywords"])
    assert set(project["urls"]) == {"Homepage", "Documentation", "Changelog", "Issues", "Source"}
    assert project["urls"]["Source"].endswith(f"/packages/{name}")
    assert all(link.startswith("https://") for link in project["urls"].values())
    tested = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert tuple(tested) == PYTHONS
    assert project["requires-python"] == f">={PYTHONS[0]}"
    # An index refuses the classifier of a licence beside an expression.
    assert not [line for line in project["classifiers"] if line.startswith("License ::")]


@pytest.mark.parametrize("name", NAMES)
def test_the_links_of_a_readme_are_absolute(name: str) -> None:
    """An index shows the README, and has no other file of the repository."""
    readme = (packages()[name].directory / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(\s*<?([^)\s>]+)", readme)
    assert [link for link in links if not link.startswith(("https://", "#"))] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_package_is_typed(name: str) -> None:
    for directory in packages()[name].imports:
        assert (directory / "py.typed").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_a_package_does_not_configure_tools(name: str) -> None:
    tools = read_toml(packages()[name].directory / "pyproject.toml")["tool"]
    assert tools.keys() == {"hatch"}
    assert tools["hatch"].keys() == {"build"}


@pytest.mark.parametrize("name", NAMES)
def test_every_public_module_has_a_literal_all(name: str) -> None:
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


def test_the_readme_has_a_row_for_each_package_with_its_import_names() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(.+)\]\(packages/(.+)\) \| (.+?) \|", readme, re.MULTILINE)
    listed = {
        name: (folder, set(re.findall(r"`(\w+)`", imports))) for name, folder, imports in rows
    }
    assert listed == {
        name: (package.directory.name, {path.name for path in package.imports})
        for name, package in packages().items()
    }


def test_all_packages_have_the_same_version() -> None:
    assert list(versions.deviations()) == []


@pytest.mark.parametrize("name", ["etcd-client", "etcd-sync"])
def test_a_whole_client_has_the_extras_of_the_channel(name: str) -> None:
    channel, client = (
        read_toml(packages()[each].directory / "pyproject.toml")["project"]
        for each in ("etcd-channel", name)
    )
    assert client["optional-dependencies"] == {
        extra: [f"etcd-channel[{extra}]=={channel['version']}"]
        for extra in channel["optional-dependencies"]
    }


def test_the_changelog_has_the_version() -> None:
    version = packages()["etcd-client"].version
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## .*\b{re.escape(version)}\b", changelog, re.MULTILINE)


def test_the_directory_of_a_package_has_its_name() -> None:
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
