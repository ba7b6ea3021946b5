"""The members of a class, with those of its private base classes."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from public_names import is_private, private_base
from public_source import Module, Place, bodies, names_of, resolve

__all__ = ["Members", "members"]

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Members:
    """What a class has; each annotation as it is written."""

    kind: ast.ClassDef
    public_bases: list[Place] = field(default_factory=list)
    parameters: str = ""
    """The type parameters of a generic class, with their brackets."""
    fields: dict[str, tuple[ast.expr | None, str | None]] = field(default_factory=dict)
    """The types and the docstrings."""
    defaults: dict[str, ast.expr] = field(default_factory=dict)
    methods: dict[str, list[Function]] = field(default_factory=dict)
    constructor: ast.FunctionDef | None = None
    homes: dict[str, Module] = field(default_factory=dict)
    """The module in which each member is written."""


def members(module: Module, name: str) -> Members:
    kind = module.defined[name][-1]
    assert isinstance(kind, ast.ClassDef)
    found = Members(kind)
    for base in kind.bases:
        if isinstance(base, ast.Subscript) and ast.unparse(base.value) == "Generic":
            found.parameters = f"[{ast.unparse(base.slice)}]"
        private = private_base(module, base)
        if private is None:
            named = base.value if isinstance(base, ast.Subscript) else base
            if isinstance(named, ast.Name):
                found.public_bases.append(resolve(Place(module.name, named.id)))
            continue
        inherited = members(private[0], private[1].name)
        found.fields |= inherited.fields
        found.methods |= inherited.methods
        found.public_bases += inherited.public_bases
        found.constructor = inherited.constructor
        found.homes |= inherited.homes
    own(found, kind, module)
    return found


def own(found: Members, kind: ast.ClassDef, module: Module) -> None:
    methods: dict[str, list[Function]] = {}
    statements = list(bodies(kind.body))
    for statement, after in zip(statements, [*statements[1:], None], strict=True):
        for name in names_of(statement):
            found.homes[name] = module
            if name == "__init__":
                assert isinstance(statement, ast.FunctionDef)
                found.constructor = statement
            if is_private(name):
                continue
            if isinstance(statement, Function):
                methods.setdefault(name, []).append(statement)
            elif isinstance(statement, ast.AnnAssign):
                found.fields[name] = statement.annotation, text_of(after)
                if statement.value is not None:
                    found.defaults[name] = statement.value
    found.methods |= methods
    for constructor in statements:
        if names_of(constructor) == ["__init__"]:
            assert isinstance(constructor, ast.FunctionDef)
            set_fields(found, constructor, module)


def set_fields(found: Members, constructor: ast.FunctionDef, module: Module) -> None:
    """The public attributes that the constructor sets, with the types of its parameters."""
    given = constructor.args
    types = {each.arg: each.annotation for each in [*given.args, *given.kwonlyargs]}
    for statement, after in zip(constructor.body, [*constructor.body[1:], None], strict=True):
        match statement:
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)]):
                if not name.startswith("_") and name not in found.fields:
                    found.fields[name] = types.get(name), text_of(after)
                    found.homes[name] = module


def text_of(statement: ast.stmt | None) -> str | None:
    """The docstring of an attribute: a string right after it."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return "\n".join(line.strip() for line in text.split("\n"))
    return None
