"""The source of the packages, as it is written: their modules, and where each name is defined.

Nothing is imported: what is read depends neither on the Python nor on the libraries.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from workspace import packages

__all__ = ["Module", "Place", "bodies", "is_public", "modules", "names_of", "resolve"]


@dataclass(frozen=True)
class Place:
    """Where a name is defined: a module, and the name in it; None for the module itself."""

    module: str
    name: str | None


@dataclass
class Module:
    """A module of a package."""

    name: str
    package: str
    """The distribution."""
    exported: list[str] = field(default_factory=list)
    """Its `__all__`."""
    defined: dict[str, list[ast.stmt]] = field(default_factory=dict)
    """The statements that define each name: a function with overloads has several."""
    imported: dict[str, Place] = field(default_factory=dict)


def is_public(module: str) -> bool:
    return not any(part.startswith("_") for part in module.split("."))


@functools.cache
def modules() -> dict[str, Module]:
    """The modules of all packages by their names, without generated ones."""
    found = {}
    for package in packages().values():
        for directory in package.imports:
            for path in sorted(directory.rglob("*.py")):
                parts = path.relative_to(directory.parent).with_suffix("").parts
                if "pb" not in parts:
                    name = ".".join(parts).removesuffix(".__init__")
                    found[name] = _read(path, Module(name, package.name))
    return found


def _read(path: Path, module: Module) -> Module:
    for statement in bodies(ast.parse(path.read_text(encoding="utf-8")).body):
        match statement:
            case ast.ImportFrom(module=named, names=names, level=level):
                source = _source(path, module.name, named, level)
                for alias in names:
                    module.imported[alias.asname or alias.name] = Place(source, alias.name)
            case ast.Import(names=names):
                for alias in names:
                    if alias.asname is not None:
                        module.imported[alias.asname] = Place(alias.name, None)
            case (
                ast.Assign(targets=[ast.Name(id="__all__")], value=ast.expr() as value)
                | ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.expr() as value)
            ):
                module.exported = list(ast.literal_eval(value))
            case _:
                for name in names_of(statement):
                    module.defined.setdefault(name, []).append(statement)
    return module


def _source(path: Path, module: str, named: str | None, level: int) -> str:
    """The module that `from .named import …` names, with as many dots as `level`."""
    if not level:
        return named or ""
    inside = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    above = inside[: len(inside) - level + 1]
    return ".".join(above if named is None else [*above, named])


def bodies(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements, with those inside of `if` and `try` in place of these."""
    for statement in statements:
        match statement:
            case ast.If(body=body, orelse=other):
                yield from bodies([*body, *other])
            case ast.Try(body=body, handlers=handlers, orelse=other, finalbody=last):
                handled = [each for handler in handlers for each in handler.body]
                yield from bodies([*body, *handled, *other, *last])
            case _:
                yield statement


def names_of(statement: ast.stmt) -> list[str]:
    """The names that a definition or an assignment defines."""
    match statement:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return [name]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.Assign(targets=targets):
            return [
                node.id
                for target in targets
                for node in ast.walk(target)
                if isinstance(node, ast.Name)
            ]
    return []


def resolve(place: Place) -> Place:
    """Where a name is defined, through all modules of the packages that only import it."""
    module = modules().get(place.module)
    if module is None or place.name is None or place.name in module.defined:
        return place
    source = module.imported.get(place.name, place)
    if source != place:
        return resolve(source)
    submodule = f"{place.module}.{place.name}"
    return Place(submodule, None) if submodule in modules() else place
