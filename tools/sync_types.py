"""The types of etcd-sync: annotations of the asynchronous classes, and what they become."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Set

from public_source import Module, Place, modules, resolve
from sync_surface import Kind, kinds

__all__ = ["Imports", "Types"]

# Names of the asynchronous world: what takes their place, without the arguments after the first.
ITERATORS = {"AsyncGenerator", "AsyncIterator"}
AWAITED = {"PendingLease": "Lease"}

# The modules of names that code written by hand uses, and that the asynchronous module may lack.
KNOWN = {
    "Any": "typing",
    "Callback": "etcd_sync._worker",
    "Conversation": "etcd_sync._conversation",
    "Deadline": "etcd_channel.deadline",
    "Iteration": "etcd_sync._iteration",
    "Iterator": "collections.abc",
    "chain": "itertools",
    "current_request": "etcd_sync._request",
    "in_thread": "etcd_sync._worker",
    "is_newer": "etcd_sync._handle",
    "monotonic": "time",
    "partial": "functools",
    "in_waiting_task": "etcd_sync._request",
    "user_function": "etcd_sync._worker",
}
KNOWN_MODULES = {"etcd_client", "os", "threading"}


class Imports:
    """The imports of a module that is being written, and the variables that it needs."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._names: dict[str, set[str]] = {}
        self._modules: set[str] = set()
        self._variables: dict[str, str] = {}

    def name(self, module: str, name: str) -> str:
        """Import a name; return it."""
        if module not in (self._module, "builtins"):
            self._names.setdefault(module, set()).add(name)
        return name

    def module(self, name: str) -> str:
        self._modules.add(name)
        return name

    def variable(self, name: str, value: str, module: str) -> str:
        """Define a variable that `module` has; return its name, which may be another one here."""
        if self._variables.get(name, value) != value:
            name = f"{name}_OF_{module.split('.')[-1].strip('_').upper()}"
        self._variables[name] = value
        return name

    def lines(self) -> Iterator[str]:
        yield from (f"import {name}" for name in sorted(self._modules))
        for module, names in sorted(self._names.items()):
            yield f"from {module} import {', '.join(sorted(names))}"

    def variables(self) -> list[str]:
        return [f"{name} = {value}" for name, value in sorted(self._variables.items())]


class Types:
    """Translates the annotations of one module."""

    def __init__(self, module: Module, imports: Imports) -> None:
        self._module = module
        self._imports = imports

    # Translation -----------------------------------------------------------------------

    def text(self, annotation: ast.expr) -> str:
        """The annotation for synchronous code."""
        return ast.unparse(self._translated(annotation))

    def default(self, value: ast.expr) -> str:
        """A default value; private constants are written out."""
        if isinstance(value, ast.Name):
            home = resolve(Place(self._module.name, value.id))
            found = modules().get(home.module)
            if found is not None and home.name is not None and home.name.startswith("_"):
                constant = found.defined[home.name][-1]
                assert isinstance(constant, (ast.Assign, ast.AnnAssign))
                assert constant.value is not None
                if isinstance(constant.value, ast.Constant):
                    return ast.unparse(constant.value)
                made = Types(found, self._imports).text(constant.value)
                return self._imports.variable(home.name, made, home.module)
        return self.text(value)

    def value(self, node: ast.expr) -> str:
        """An expression: private constants in it are written as variables."""
        for name in {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}:
            if self.default(ast.Name(name)) != name:
                raise SystemExit(f"sync_client.py: {name} is a constant of {self._module.name}")
        return ast.unparse(node)

    def rewritten(self, code: str, given: Set[str] = frozenset()) -> Iterator[str]:
        """Lines of code written by hand, whose names are imported, except those `given`."""
        nodes = list(ast.walk(ast.parse(code)))
        assigned = set()
        for node in nodes:
            match node:
                case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                    assigned.add(name)
                case ast.AsyncFunctionDef(name=name):
                    assigned.add(name)
        for node in nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                if node.id == "self" or node.id in assigned | given:
                    continue
                if node.id in KNOWN:
                    self._imports.name(KNOWN[node.id], node.id)
                elif node.id in KNOWN_MODULES:
                    self._imports.module(node.id)
                elif (sibling := self._sibling_module(node.id)) is not None:
                    self._imports.name(sibling, node.id)
                else:
                    self._reference(node.id)
        yield from code.rstrip("\n").split("\n")

    def _translated(self, node: ast.expr) -> ast.expr:
        match node:
            case ast.BinOp(op=ast.BitOr(), left=left, right=right):
                return self._union([*_arms(left), *_arms(right)])
            case ast.Subscript(value=ast.Name(id="Literal")):
                self._reference("Literal")
                return node
            case ast.Subscript(value=ast.Name(id=name), slice=inside):
                return self._subscript(name, inside)
            case ast.Name(id=name):
                return self._name(name)
            case ast.Tuple(elts=parts):
                return ast.Tuple([self._translated(part) for part in parts], ast.Load())
            case ast.List(elts=parts):
                return ast.List([self._translated(part) for part in parts], ast.Load())
            case ast.Call(func=function, args=given, keywords=keywords):
                return ast.Call(
                    self._translated(function), [self._translated(each) for each in given], keywords
                )
            case ast.Subscript(value=ast.Attribute() as value, slice=inside):
                return ast.Subscript(self._translated(value), self._translated(inside), ast.Load())
            case ast.Attribute(value=ast.Name(id=name)):
                if name in KNOWN_MODULES:
                    self._imports.module(name)
                else:
                    self._reference(name)
                return node
        return node

    def _union(self, parts: list[ast.expr]) -> ast.expr:
        kept: list[ast.expr] = []
        for part in parts:
            match part:
                case ast.Subscript(value=ast.Name(id="AsyncIterable")):
                    continue
                case ast.Name(id="ChannelLike"):
                    continue
            kept.append(self._translated(part))
        joined = kept[0]
        for part in kept[1:]:
            joined = ast.BinOp(joined, ast.BitOr(), part)
        return joined

    def _subscript(self, name: str, inside: ast.expr) -> ast.expr:
        if name in ITERATORS:
            item = inside.elts[0] if isinstance(inside, ast.Tuple) else inside
            self._imports.name("etcd_sync._iteration", "Iteration")
            return ast.Subscript(ast.Name("Iteration"), self._translated(item), ast.Load())
        if name in ("Awaitable", "Coroutine"):
            item = inside.elts[-1] if isinstance(inside, ast.Tuple) else inside
            return self._translated(item)
        if name == "Listing":
            return ast.Subscript(ast.Name("list"), self._translated(inside), ast.Load())
        if name == "AbstractAsyncContextManager":
            self._imports.name("contextlib", "AbstractContextManager")
            return ast.Subscript(
                ast.Name("AbstractContextManager"), self._translated(inside), ast.Load()
            )
        return ast.Subscript(self._name(name), self._translated(inside), ast.Load())

    def _name(self, name: str) -> ast.expr:
        if name in AWAITED:
            name = AWAITED[name]
        home = resolve(Place(self._module.name, name))
        if name in ("ChannelLike", "Service"):
            return ast.Name(self._imports.name("etcd_sync._handle", "Service"))
        if name == "LeaseCalls":
            return ast.Name(self._imports.name("etcd_sync.lease", "LeaseClient"))
        if name in ("LeaseLoss", "LockLoss"):
            return ast.Name(self._imports.name("etcd_sync.loss", name))
        sibling = kinds().get((home.module, home.name or ""))
        if sibling is not None:
            return ast.Name(self._imports.name(sibling[0], sibling[1].name))
        alias = self._private_alias(home)
        if alias is not None:
            value, module = alias
            return Types(module, self._imports)._translated(value)
        self._reference(name)
        return ast.Name(name)

    def _private_alias(self, home: Place) -> tuple[ast.expr, Module] | None:
        """An alias of a type that etcd_client does not export: it is written out."""
        module = modules().get(home.module)
        if module is None or home.name is None:
            return None
        if home.name in modules()["etcd_client"].exported:
            return None
        for statement in module.defined.get(home.name, ()):
            if isinstance(statement, ast.Assign) and not isinstance(statement.value, ast.Call):
                return statement.value, module
        return None

    def _reference(self, name: str) -> None:
        """Import a name of the module."""
        if hasattr(builtins, name):
            return
        home = resolve(Place(self._module.name, name))
        if home.module == self._module.name and home.name == name:
            for statement in self._module.defined.get(name, ()):
                match statement:
                    case ast.Assign(value=ast.Call(func=ast.Name(id="TypeVar")) as made):
                        self._imports.name("typing", "TypeVar")
                        self._imports.variable(name, ast.unparse(made), self._module.name)
                        return
        if home.name is None:
            self._imports.module(home.module)
            return
        if home == Place(self._module.name, name) and name not in self._module.defined:
            raise SystemExit(f"sync_client.py: {self._module.name} has no {name}")
        for package in ("etcd_client", home.module.split(".")[0]):
            exported = modules()[package].exported if package in modules() else ()
            if home.name in exported and resolve(Place(package, home.name)) == home:
                home = Place(package, home.name)
                break
        self._imports.name(home.module, home.name or "")

    # Kinds of results ------------------------------------------------------------------

    def is_iterator(self, annotation: ast.expr) -> bool:
        match annotation:
            case ast.Subscript(value=ast.Name(id=name)):
                return name in ITERATORS
        return False

    def is_awaited(self, annotation: ast.expr) -> bool:
        """Whether it is something to be awaited."""
        match annotation:
            case ast.Name(id=name):
                sibling = self._sibling(name)
                return name in AWAITED or (sibling is not None and sibling.awaited)
            case ast.Subscript(value=ast.Name(id="Listing")):
                return True
        return False

    def handle(self, annotation: ast.expr | None) -> str | None:
        """The class of etcd-sync that an argument must be of; None for any other argument."""
        if annotation is None:
            return None
        names = {part.id for part in _arms(annotation) if isinstance(part, ast.Name)}
        if "Service" in names or "LeaseCalls" in names or self._siblings(names):
            return self.text(annotation)
        return None

    def _sibling_module(self, name: str) -> str | None:
        home = resolve(Place(self._module.name, name))
        found = kinds().get((home.module, home.name or ""))
        return None if found is None else found[0]

    def _siblings(self, names: set[str]) -> bool:
        return any(self._sibling(name) is not None for name in names)

    def _sibling(self, name: str) -> Kind | None:
        home = resolve(Place(self._module.name, AWAITED.get(name, name)))
        found = kinds().get((home.module, home.name or ""))
        return None if found is None else found[1]

    def result(self, annotation: ast.expr, value: str, portal: str = "self._portal") -> str:
        """The result of a call as synchronous code gets it."""
        arms = _arms(annotation)
        names = [part.id for part in arms if isinstance(part, ast.Name)]
        optional = any(isinstance(part, ast.Constant) and part.value is None for part in arms)
        for name in names:
            if name in ("LeaseLoss", "LockLoss") or self._sibling(name) is not None:
                kind = self.text(ast.Name(AWAITED.get(name, name)))
                found = self._sibling(name)
                if optional and found is not None and found.copied:
                    return f"None if {value} is None else {kind}._of({portal}, {value})"
                made = "_of_optional" if optional else "_of"
                return f"{kind}.{made}({portal}, {value})"
        match annotation:
            case ast.Subscript(value=ast.Name(id="list" | "Listing"), slice=ast.Name(id=name)):
                if self._sibling(name) is not None:
                    kind = self.text(ast.Name(name))
                    return f"[{kind}._of({portal}, each) for each in {value}]"
            case ast.Subscript(value=ast.Name(id="AbstractAsyncContextManager")):
                entered = self._imports.name("etcd_sync._handle", "Entered")
                return f"{entered}({portal}, {value}, self)"
        return value


def _arms(annotation: ast.expr) -> list[ast.expr]:
    """The parts of a union."""
    match annotation:
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return [*_arms(left), *_arms(right)]
    return [annotation]
