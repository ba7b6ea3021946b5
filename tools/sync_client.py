"""Writes the modules of etcd-sync that are made of the source of the asynchronous classes.

python3 tools/dev.py run python tools/sync_client.py           write them
python3 tools/dev.py run python tools/sync_client.py --check   exit 1 and name each that differs

Each asynchronous class has a sibling with the same methods, arguments and docstrings. Which
classes, and where a sibling differs from the rule, is in tools/sync_surface.py; how docstrings are
changed is in tools/sync_docstrings.py. A method

- that is a coroutine waits for it: `self._portal.run(self._inner.get, key)`;
- that returns an asynchronous iterator returns an iterator: `self._portal.iterate(…)`;
- that returns something to be awaited waits for it;
- any other one is called in the thread of the event loop: `self._portal.call(…)`.

Arguments and results that have siblings are exchanged for them.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from collections.abc import Iterator

import sync_exports
from public_source import Module, modules
from sync_docstrings import adapted, unused
from sync_members import Members, members
from sync_surface import MODULES, Kind, kinds
from sync_types import Imports, Types
from workspace import ROOT

__all__ = ["every", "main", "written"]

DIRECTORY = ROOT / "packages" / "etcd-sync" / "src" / "etcd_sync"
COMMAND = "python3 tools/dev.py run python tools/sync_client.py"

NOTE = f"""\
# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     {COMMAND}
"""
HEADING = f'''"""{{title}}"""

{NOTE}
from __future__ import annotations

'''

Function = ast.FunctionDef | ast.AsyncFunctionDef

# What Python calls of an asynchronous object, and what it calls of its sibling.
PROTOCOLS = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__anext__": "__next__",
    "aclose": "close",
}
_GIVEN = {
    "__enter__": "self",
    "__exit__": (
        "self, kind: type[BaseException] | None, error: BaseException | None,"
        " trace: TracebackType | None"
    ),
}
# Callbacks that only tell: they are called in a thread of their own.
POSTED = {"on_change", "on_failed_attempt", "on_reconnect"}
# Functions and objects of the caller that the calling thread runs: the method of a conversation.
FROM_CALLER = {"file_obj": "writer", "progress": "posted"}
# Properties that must be read in the thread of the event loop.
IN_LOOP = {"is_lost", "is_revoked", "loss", "lost", "remaining"}
# Methods that neither wait nor change anything: they are called in the caller's thread.
DIRECT = {"ownership"}
LEFT_OUT = {
    *("__aiter__", "__await__", "__init__", "__new__", "__bool__"),
    *("cancel_on_loss", "channel", "of", "on"),
}


def every() -> dict[str, str]:
    """The texts of all modules that are written, by their names."""
    texts = {
        "__init__": formatted(sync_exports.package(NOTE), "__init__.py"),
        "errors": formatted(sync_exports.errors(NOTE), "errors.py"),
        **{name: written(name) for name in MODULES},
    }
    if unused():
        raise SystemExit(f"sync_client.py: no docstring has {unused()[0]!r}")
    return texts


def written(name: str) -> str:
    """The text of a module."""
    imports = Imports(f"etcd_sync.{name}")
    classes = ["\n".join(Writer(kind, imports).lines()) for kind in MODULES[name]]
    exported = ", ".join(f'"{each}"' for each in sorted(kind.name for kind in MODULES[name]))
    variables = "\n".join(imports.variables())
    body = "\n\n\n".join(classes)
    text = (
        HEADING.format(title=title(name))
        + "\n".join(imports.lines())
        + f"\n\n__all__ = [{exported}]\n\n{variables}\n\n\n{body}\n"
    )
    return formatted(text, f"{name}.py")


def title(name: str) -> str:
    names = [f"`{kind.name}`" for kind in MODULES[name]]
    listed = " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
    return f"{listed} for synchronous code."


def formatted(text: str, name: str) -> str:
    """The text with sorted imports, as `ruff format` leaves it."""
    path = str(DIRECTORY / name)
    for command in (["check", "--fix-only", "--select=I,F401,RUF022", "-q"], ["format", "-q"]):
        result = subprocess.run(
            ["ruff", *command, "--stdin-filename", path, "-"],
            input=text,
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        if result.returncode:
            raise SystemExit(f"sync_client.py: {name}: {result.stderr}\n{text}")
        text = result.stdout
    return text


class Writer:
    """Writes one class."""

    def __init__(self, kind: Kind, imports: Imports) -> None:
        self.kind = kind
        self.module: Module = modules()[kind.source]
        self.imports = imports
        self.types = Types(self.module, imports)
        self.members: Members = members(self.module, kind.name)

    def lines(self) -> Iterator[str]:
        kind = self.kind
        if kind.copied:
            yield from self.copied()
            return
        bases = ", ".join(self.bases())
        yield f"class {kind.name}({bases}):"
        yield from self.docstring(self.members.kind, kind.name, 4)
        yield ""
        if kind.alias:
            self.imports.name("etcd_client", f"{kind.name} as {kind.alias}")
        else:
            self.imports.module("etcd_client")
        generic = self.members.parameters
        yield f"    _inner: {kind.qualified}{generic}"
        if kind.constructed:
            yield from self.constructor()
        yield from self.fields()
        for statements in self.members.methods.values():
            yield from self.method(statements)
        self.types = Types(self.module, self.imports)
        for line in self.types.rewritten(kind.extra):
            yield f"    {line}".rstrip()

    def bases(self) -> Iterator[str]:
        found = False
        for base in self.members.public_bases:
            sibling = kinds().get((base.module, base.name or ""))
            if sibling is not None:
                found = True
                yield self.imports.name(sibling[0], sibling[1].name)
            elif base.name == "Service":
                found = True
                yield self.imports.name("etcd_sync._handle", "Service")
            elif base.name == "Connected":
                yield self.imports.name("etcd_sync._connected", "Connected")
                found = True
        if not found:
            yield self.imports.name("etcd_sync._handle", "Handle")
        yield from (self.types.text(ast.parse(base).body[0].value) for base in self.kind.bases)  # type: ignore[attr-defined]

    def docstring(self, node: ast.ClassDef | Function, where: str, indent: int) -> Iterator[str]:
        text = ast.get_docstring(node)
        if text is not None:
            yield from quoted(adapted(text, where, 100 - indent), indent)

    def copied(self) -> Iterator[str]:
        """A dataclass like the asynchronous one, and how it is made of that one."""
        kind = self.kind
        for decorator in self.members.kind.decorator_list:
            yield f"@{ast.unparse(decorator)}"
            self.types.text(decorator)
        yield f"class {kind.name}:"
        yield from self.docstring(self.members.kind, kind.name, 4)
        yield ""
        given = []
        for name, (annotation, docstring) in self.members.fields.items():
            assert annotation is not None
            default = self.members.defaults.get(name)
            after = "" if default is None else f" = {self.types.value(default)}"
            yield f"    {name}: {self.types.text(annotation)}{after}"
            if docstring:
                yield from quoted(adapted(docstring, f"{kind.name}.{name}", 96), 4)
            given.append(f"{name}={self.types.result(annotation, f'inner.{name}', 'portal')}")
        self.imports.module("etcd_client")
        portal = self.imports.name("etcd_sync._portal", "Portal")
        yield ""
        yield "    @classmethod"
        yield f"    def _of(cls, portal: {portal}, inner: {kind.qualified}) -> {kind.name}:"
        yield f"        return cls({', '.join(given)})"
        for name, statements in self.members.methods.items():
            if name not in LEFT_OUT:
                yield ""
                for line in ast.unparse(statements[-1]).split("\n"):
                    yield f"    {line}"

    # Fields ----------------------------------------------------------------------------

    def fields(self) -> Iterator[str]:
        for name, (annotation, docstring) in self.members.fields.items():
            if name in LEFT_OUT:
                continue
            if annotation is None:
                if name not in self.kind.attributes:
                    raise SystemExit(f"sync_client.py: {self.kind.name}.{name} has no type")
                annotation = ast.parse(self.kind.attributes[name], mode="eval").body
            where = f"{self.kind.name}.{name}"
            self.write_in(name)
            if ast.unparse(annotation).startswith("ClassVar["):
                default = self.members.defaults[name]
                yield f"    {name}: {self.types.text(annotation)} = {self.types.text(default)}"
                if docstring:
                    yield from quoted(adapted(docstring, where, 96), 4)
                continue
            yield ""
            yield "    @property"
            yield f"    def {name}(self) -> {self.types.text(annotation)}:"
            if docstring:
                yield from quoted(adapted(docstring, where, 92), 8)
            if name in self.kind.written:
                for line in self.types.rewritten(self.kind.written[name]):
                    yield f"        {line}"
                continue
            yield f"        return {self.types.result(annotation, f'self._inner.{name}')}"

    # The constructor -------------------------------------------------------------------

    def constructor(self) -> Iterator[str]:
        function = self.members.constructor
        assert function is not None
        self.write_in("__init__")
        kind = self.kind
        signature = self.signature(function.args)
        yield ""
        yield f"    def __init__({signature}) -> None:"
        owner = None
        for argument in arguments(function.args):
            wanted = self.types.handle(argument.annotation)
            if wanted is not None:
                checked = self.imports.name("etcd_sync._handle", "inner_of")
                name = argument.arg
                yield f'        inner_{name} = {checked}("{name}", {name}, {wanted})'
                owner = owner or name
        if kind.owner:
            given = self.given(function.args, unwrapped="{}._inner")
            portal = self.imports.name("etcd_sync._portal", "Portal")
            yield f"        inner = {kind.qualified}({given})"
            yield f"        super().__init__({portal}(inner.close), inner)"
            yield "        self._owner = True"
            return
        assert owner is not None, kind.name
        yield from self.refusals(function.args)
        given = self.given(function.args, unwrapped="inner_{}")
        made = f"{kind.qualified}, {given}"
        call = "run" if kind.opened else "call"
        yield f"        super().__init__({owner}._portal, {owner}._portal.{call}({made}))"

    def write_in(self, name: str) -> None:
        """Begin to write a member, whose annotations are of the module that it is written in."""
        self.types = Types(self.members.homes[name], self.imports)

    # Methods ---------------------------------------------------------------------------

    def method(self, statements: list[Function]) -> Iterator[str]:
        name = statements[-1].name
        if name in LEFT_OUT:
            return
        self.write_in(name)
        for function in statements:
            yield ""
            yield from self.one(function)

    def one(self, function: Function) -> Iterator[str]:
        kind = self.kind
        own = PROTOCOLS.get(function.name, function.name)
        decorators = [ast.unparse(decorator) for decorator in function.decorator_list]
        for decorator in decorators:
            self.types.text(ast.parse(decorator, mode="eval").body)
            yield f"    @{decorator}"
        returned = function.returns
        assert returned is not None, f"{kind.name}.{own}"
        given = _GIVEN[own] if own in _GIVEN else self.signature(function.args)
        itself = f"{kind.name}{self.members.parameters}"
        text = itself if own == "__enter__" else self.types.text(returned)
        yield f"    def {own}({given}) -> {text}:"
        if "overload" in decorators:
            yield "        ..."
            return
        yield from self.docstring(function, f"{kind.name}.{own}", 8)
        if function.name in kind.written:
            names = {argument.arg for argument in arguments(function.args)}
            for line in self.types.rewritten(kind.written[function.name], names):
                yield f"        {line}".rstrip()
            return
        yield from self.refusals(function.args)
        for line in self.body(function, decorators, returned):
            yield f"        {line}"

    def body(self, function: Function, decorators: list[str], returned: ast.expr) -> Iterator[str]:
        name = function.name
        types = self.types
        if name == "__aenter__":
            yield "_ = self._portal.enter(self._inner)"
            yield "return self"
            return
        if name == "__aexit__":
            self.imports.name("types", "TracebackType")
            yield "self._portal.exit(self._inner, kind, error, trace)"
            return
        if "property" in decorators:
            value = f"self._inner.{name}"
            if name in IN_LOOP:
                value = f"self._read(lambda: {value})"
            yield f"return {types.result(returned, value)}"
            return
        given = self.given(function.args, unwrapped="{}._inner")
        called = f"self._inner.{name}({given})"
        passed = ", ".join(part for part in (f"self._inner.{name}", given) if part)
        talks = any(self.is_from_caller(argument) for argument in arguments(function.args))
        if talks:
            self.imports.name("etcd_sync._conversation", "Conversation")
            yield "conversation = Conversation(self._portal)"
        if talks and types.is_iterator(returned):
            yield f"return conversation.iterate(self._portal.call({passed}))"
            return
        if "classmethod" in decorators:
            yield f"inner = {self.kind.qualified}.{name}({given})"
            portal = self.imports.name("etcd_sync._portal", "Portal")
            yield f"client = cls._of({portal}(inner.close), inner)"
            yield "client._owner = True"
            yield "return client"
            return
        if types.is_iterator(returned):
            generator = isinstance(function, ast.AsyncFunctionDef)
            made = called if generator else f"self._portal.call({passed})"
            yield f"return self._portal.iterate({made})"
            return
        if isinstance(function, ast.AsyncFunctionDef) or types.is_awaited(returned):
            value = f"conversation.hold({passed})" if talks else f"self._portal.run({passed})"
        elif name in DIRECT:
            value = called
        else:
            value = f"self._portal.call({passed})"
        if ast.unparse(returned) == "None":
            yield value
        else:
            yield f"return {types.result(returned, value)}"

    # Parameters ------------------------------------------------------------------------

    def signature(self, given: ast.arguments) -> str:
        positional = [*given.posonlyargs, *given.args]
        required = len(positional) - len(given.defaults)
        parts = [
            self.parameter(each, given.defaults[at - required] if at >= required else None)
            for at, each in enumerate(positional)
        ]
        if given.kwonlyargs:
            parts.append("*")
        parts += [
            self.parameter(each, default)
            for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
        ]
        return ", ".join(parts)

    def parameter(self, argument: ast.arg, default: ast.expr | None) -> str:
        if argument.arg == "cancel_on_loss":
            literal = self.imports.name("typing", "Literal")
            return f"cancel_on_loss: {literal}[False] = False"
        if argument.annotation is None:
            return argument.arg
        text = f"{argument.arg}: {self.types.text(argument.annotation)}"
        return text if default is None else f"{text} = {self.types.default(default)}"

    def refusals(self, given: ast.arguments) -> Iterator[str]:
        if any(argument.arg == "cancel_on_loss" for argument in arguments(given)):
            refuse = self.imports.name("etcd_sync._handle", "refuse_cancel_on_loss")
            yield f"        {refuse}(cancel_on_loss)"

    def is_from_caller(self, argument: ast.arg) -> bool:
        """Whether the thread that calls the method runs code of this argument meanwhile."""
        return argument.arg in FROM_CALLER or (
            argument.annotation is not None and "AsyncIterable[" in ast.unparse(argument.annotation)
        )

    def given(self, given: ast.arguments, *, unwrapped: str) -> str:
        """The arguments of the call of the asynchronous method."""
        parts = []
        keyword_only = {argument.arg for argument in given.kwonlyargs}
        for argument in arguments(given):
            name = argument.arg
            value = name
            if self.types.handle(argument.annotation) is not None:
                value = unwrapped.format(name)
            if name == "cancel_on_loss":
                value = "False"
            elif name in POSTED:
                value = f"{self.imports.name('etcd_sync._worker', 'posted')}({name})"
            elif self.is_from_caller(argument):
                made = FROM_CALLER.get(name)
                value = (
                    f'conversation.source("{name}", {name})'
                    if made is None
                    else f"conversation.{made}({name})"
                )
            parts.append(f"{name}={value}" if name in keyword_only else value)
        return ", ".join(parts)


def arguments(given: ast.arguments) -> list[ast.arg]:
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return [argument for argument in every if argument.arg not in ("self", "cls")]


def quoted(text: str, indent: int) -> Iterator[str]:
    """A docstring."""
    space = " " * indent
    raw = "r" if "\\" in text else ""
    lines = text.split("\n")
    if len(lines) == 1:
        yield f'{space}{raw}"""{text}"""'
        return
    yield f'{space}{raw}"""{lines[0]}'
    yield from (f"{space}{line}".rstrip() for line in lines[1:])
    yield f'{space}"""'


def main(given: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the generated modules of etcd-sync.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 on a difference"
    )
    options = parser.parse_args(given)
    stale = []
    for name, text in every().items():
        path = DIRECTORY / f"{name}.py"
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.relative_to(ROOT).as_posix())
        if not options.check:
            path.write_text(text, encoding="utf-8")
    if not options.check:
        return 0
    for stale_name in stale:
        print(f"{stale_name}: it is not up to date: run {COMMAND}")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
