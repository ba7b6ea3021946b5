"""Writes the public names of every package and their signatures, a file for each, to tests/public.

python3 tools/dev.py run python tools/public_names.py           write them
python3 tools/dev.py run python tools/public_names.py --check   exit 1 and print each difference

A public name stands in the `__all__` of a module whose name has no part that begins with `_`. A
change of the files is a change that users may notice: it is reviewed, and usually stands in
CHANGELOG.md too.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import functools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from public_source import Module, Place, bodies, is_public, modules, names_of, resolve
from workspace import ROOT, packages

__all__ = ["COMMAND", "DIRECTORY", "differences", "main", "members", "written"]

DIRECTORY = ROOT / "tests" / "public"
COMMAND = "python3 tools/dev.py run python tools/public_names.py"

HEADING = f"""\
# The public names of {{package}} and their signatures, as they stand in the source.
# Written by tools/public_names.py; write it again with
#     {COMMAND}
"""

WIDTH = 100
"""Signatures that are longer have a line for each parameter."""

# What Python, not a caller, calls, or what says nothing of how an object is used.
INTERNAL = {
    "__all__",
    "__class_getitem__",
    "__copy__",
    "__deepcopy__",
    "__del__",
    "__delattr__",
    "__getattr__",
    "__getstate__",
    "__init_subclass__",
    "__match_args__",
    "__post_init__",
    "__reduce__",
    "__repr__",
    "__set_name__",
    "__setattr__",
    "__setstate__",
    "__slots__",
    "__str__",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def written(package: str) -> str:
    """The text of the file of a package."""
    lines = [HEADING.format(package=package)]
    for module in modules().values():
        if module.package == package and is_public(module.name) and module.exported:
            lines.append(f"\n{module.name}\n")
            for name in sorted(module.exported):
                lines += [f"    {line}\n" for line in entry(module, name)]
    return "".join(lines)


def entry(module: Module, name: str) -> list[str]:
    """What is said of an exported name: its signature, at the place where it is defined."""
    home = resolve(Place(module.name, name))
    if home.name is None:
        return [f"import {home.module} as {name}"]
    defining = modules().get(home.module)
    if defining is None or (home.module != module.name and is_listed(home)):
        renamed = "" if home.name == name else f" as {name}"
        return [f"from {home.module} import {home.name}{renamed}"]
    return describe(defining, home.name)


def is_listed(place: Place) -> bool:
    """Whether a name is public in the module that defines it."""
    return is_public(place.module) and place.name in modules()[place.module].exported


def describe(module: Module, name: str) -> list[str]:
    statements = module.defined.get(name)
    if not statements:
        raise SystemExit(f"public_names.py: {module.name} exports {name!r}; it does not define it")
    match statements[-1]:
        case ast.ClassDef() as kind:
            return list(class_lines(module, kind))
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return list(function_lines(statements))
        case statement:
            return [assignment(statement)]


def class_lines(module: Module, kind: ast.ClassDef) -> Iterator[str]:
    """A class: its public bases, its fields in their order, its methods by their names."""
    for decorator in kind.decorator_list:
        yield f"@{ast.unparse(decorator)}"
    bases = [ast.unparse(base) for base in kind.bases if private_base(module, base) is None]
    bases += [f"{keyword.arg}={ast.unparse(keyword.value)}" for keyword in kind.keywords]
    yield f"class {kind.name}({', '.join(bases)})" if bases else f"class {kind.name}"
    fields, methods = parts(module, kind)
    for field in fields.values():
        yield f"    {field}"
    for name in sorted(methods):
        yield from (f"    {line}" for line in function_lines(methods[name], indent=8))


def parts(module: Module, kind: ast.ClassDef) -> tuple[dict[str, str], dict[str, list[ast.stmt]]]:
    """The fields and the methods of a class, with those that it has of private bases."""
    fields: dict[str, str] = {}
    methods: dict[str, list[ast.stmt]] = {}
    for base in reversed(kind.bases):
        if (private := private_base(module, base)) is not None:
            of_base = parts(*private)
            fields |= of_base[0]
            methods |= of_base[1]
    own: dict[str, list[ast.stmt]] = {}
    for statement in bodies(kind.body):
        for name in names_of(statement):
            if not is_private(name):
                own.setdefault(name, []).append(statement)
    constructor = [each for each in kind.body if names_of(each) == ["__init__"]]
    for name, statements in own.items():
        if isinstance(statements[-1], Function):
            methods[name] = statements
            fields.pop(name, None)
        else:
            fields[name] = assignment(statements[-1])
            methods.pop(name, None)
    for name, text in attributes(constructor[-1]) if constructor else ():
        if name not in methods:
            fields.setdefault(name, text)
    return fields, methods


def private_base(module: Module, base: ast.expr) -> tuple[Module, ast.ClassDef] | None:
    """A base class of the packages that is public nowhere."""
    if isinstance(base, ast.Subscript):
        base = base.value
    if not isinstance(base, ast.Name):
        return None
    home = resolve(Place(module.name, base.id))
    defining = modules().get(home.module)
    if defining is None or home.name is None or home in exported():
        return None
    for statement in defining.defined.get(home.name, ()):
        if isinstance(statement, ast.ClassDef):
            return defining, statement
    return None


@functools.cache
def exported() -> frozenset[Place]:
    """Where everything is defined that is public somewhere."""
    return frozenset(
        resolve(Place(module.name, name))
        for module in modules().values()
        if is_public(module.name)
        for name in module.exported
    )


def is_private(name: str) -> bool:
    dunder = name.startswith("__") and name.endswith("__")
    return name in INTERNAL if dunder else name.startswith("_")


def attributes(constructor: ast.stmt) -> Iterator[tuple[str, str]]:
    """The public attributes that a constructor sets, with their types where they are written."""
    assert isinstance(constructor, ast.FunctionDef)
    arguments = constructor.args
    types = {
        each.arg: each.annotation
        for each in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    }
    for node in ast.walk(constructor):
        annotation: ast.expr | None = None
        match node:
            case ast.AnnAssign(target=ast.Attribute(value=ast.Name(id="self"), attr=name)):
                annotation = node.annotation
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)]):
                if isinstance(node.value, ast.Name):
                    annotation = types.get(node.value.id)
            case _:
                continue
        if not name.startswith("_"):
            yield name, f"{name}: {ast.unparse(annotation)}" if annotation else name


def function_lines(statements: Sequence[ast.stmt], *, indent: int = 4) -> Iterator[str]:
    """The signatures of a function: of its overloads if it has some."""
    functions = [each for each in statements if isinstance(each, Function)]
    # A property that can be set has two functions.
    overloads = [each for each in functions if "overload" in decorators(each)]
    for function in overloads or functions:
        for decorator in decorators(function):
            yield f"@{decorator}"
        yield from signature(function, indent)


def decorators(function: Function) -> list[str]:
    return [ast.unparse(decorator) for decorator in function.decorator_list]


def signature(function: Function, indent: int) -> list[str]:
    start = "async def" if isinstance(function, ast.AsyncFunctionDef) else "def"
    returned = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    given = parameters(function.args)
    line = f"{start} {function.name}({', '.join(given)}){returned}"
    if indent + len(line) <= WIDTH:
        return [line]
    return [f"{start} {function.name}(", *(f"    {each}," for each in given), f"){returned}"]


def parameters(arguments: ast.arguments) -> list[str]:
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    lines = [
        parameter(each, arguments.defaults[number - required] if number >= required else None)
        for number, each in enumerate(positional)
    ]
    if arguments.posonlyargs:
        lines.insert(len(arguments.posonlyargs), "/")
    if arguments.vararg is not None:
        lines.append(f"*{parameter(arguments.vararg)}")
    elif arguments.kwonlyargs:
        lines.append("*")
    lines += map(parameter, arguments.kwonlyargs, arguments.kw_defaults)
    if arguments.kwarg is not None:
        lines.append(f"**{parameter(arguments.kwarg)}")
    return lines


def parameter(argument: ast.arg, default: ast.expr | None = None) -> str:
    if argument.annotation is None:
        return argument.arg if default is None else f"{argument.arg}={ast.unparse(default)}"
    text = f"{argument.arg}: {ast.unparse(argument.annotation)}"
    return text if default is None else f"{text} = {ast.unparse(default)}"


def assignment(statement: ast.stmt) -> str:
    return " ".join(ast.unparse(statement).split())


def members(module: str, name: str) -> set[str]:
    """The names of the fields and methods of a class, with those of its bases in the packages."""
    home = resolve(Place(module, name))
    defining = modules().get(home.module)
    statements = defining.defined.get(home.name or "") if defining is not None else None
    if defining is None or statements is None or not isinstance(statements[-1], ast.ClassDef):
        return set()
    kind = statements[-1]
    fields, methods = parts(defining, kind)
    found = {*fields, *methods}
    for base in kind.bases:
        base = base.value if isinstance(base, ast.Subscript) else base
        if isinstance(base, ast.Name):
            found |= members(home.module, base.id)
    return found


def differences() -> dict[Path, str]:
    """The files that are not as they would be written, each with its differences."""
    wanted = {DIRECTORY / f"{name}.txt": written(name) for name in packages()}
    found = {}
    for path in sorted({*wanted, *DIRECTORY.glob("*.txt")}):
        there = path.read_text(encoding="utf-8") if path.exists() else ""
        new = wanted.get(path, "")
        if there != new:
            name = path.relative_to(ROOT).as_posix()
            lines = difflib.unified_diff(there.splitlines(), new.splitlines(), name, name, n=1)
            found[path] = "\n".join(line.rstrip("\n") for line in lines)
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the public names of the packages.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 on a difference"
    )
    options = parser.parse_args(arguments)
    different = differences()
    if options.check:
        for text in different.values():
            print(text)
        if different:
            print(f"\nThe public names have changed. If this is meant, run\n    {COMMAND}")
        return 1 if different else 0
    DIRECTORY.mkdir(exist_ok=True)
    for path in different:
        name = path.name.removesuffix(".txt")
        if name in packages():
            path.write_text(written(name), encoding="utf-8")
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
