"""All types for annotations and all errors can be imported from `etcd_client`."""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import etcd_client
from etcd_client import Client, ClientError, errors

# Special methods whose arguments or results a program uses.
SPECIAL = {"__aenter__", "__aiter__", "__anext__", "__await__", "__call__", "__init__", "__iter__"}
# Constructors from messages, for use by the packages.
BUILDERS = {"__init__", "from_message", "from_response", "of"}
# Protocols that the client implements, for leases and members.
FULFILLED = {"LeaseCalls", "MembersClient"}
# Types for constructing an object that only the packages make.
MADE_BY_THE_PACKAGES = {"Deadline", "Observer"}


def _is_ours(kind: type) -> bool:
    return kind.__module__.split(".")[0].startswith("etcd_")


def _is_private(kind: type) -> bool:
    parts = kind.__module__.split(".")
    return "pb" in parts or any(part.startswith("_") for part in parts)


EXPORTED = {name: getattr(etcd_client, name) for name in etcd_client.__all__}
CLASSES = {
    name: thing for name, thing in EXPORTED.items() if isinstance(thing, type) and _is_ours(thing)
}


def _functions(owner: type) -> Iterator[Any]:
    for name in dir(owner):
        if name.startswith("_") and name not in SPECIAL:
            continue
        member = inspect.getattr_static(owner, name)
        if isinstance(member, (staticmethod, classmethod)):
            member = member.__func__
        if isinstance(member, property):
            member = member.fget
        if inspect.isfunction(member) and member.__module__.startswith("etcd_"):
            yield member


def _types_in(hint: Any) -> Iterator[type]:
    """Return the classes of these packages in a type hint."""
    if isinstance(hint, (list, tuple)):
        for each in hint:
            yield from _types_in(each)
        return
    yield from _types_in(typing.get_args(hint))
    origin = typing.get_origin(hint) or hint
    if isinstance(origin, type) and _is_ours(origin):
        yield origin


def _missing(owner: type) -> Iterator[str]:
    """Return the types in the signatures of `owner` that cannot be imported."""
    exported = set(CLASSES.values())
    for function in _functions(owner):
        for name, hint in typing.get_type_hints(function).items():
            for kind in _types_in(hint):
                # The client itself can be passed for its base classes.
                if kind in exported or kind in Client.__mro__ or kind.__name__ in FULFILLED:
                    continue
                if function.__name__ in BUILDERS and _is_private(kind):
                    continue
                if function.__name__ == "__init__" and kind.__name__ in MADE_BY_THE_PACKAGES:
                    continue
                yield f"{function.__qualname__}, {name}: {kind.__module__}.{kind.__name__}"
    for name, hint in typing.get_type_hints(owner).items():
        for kind in _types_in(hint):
            if not name.startswith("_") and kind not in exported:
                yield f"{owner.__name__}.{name}: {kind.__module__}.{kind.__name__}"


@pytest.mark.parametrize("name", CLASSES)
def test_the_types_of_every_public_signature_can_be_imported(name: str) -> None:
    assert [*_missing(CLASSES[name])] == []


def test_every_public_name_is_exported_once() -> None:
    assert len(set(etcd_client.__all__)) == len(etcd_client.__all__)
    assert {"Compare", "Operation", "LeaseLike", "TransactionResult"} <= EXPORTED.keys()


@pytest.mark.parametrize("package", ["kv", "watch", "lease", "lock", "cache", "cluster", "auth"])
def test_every_public_name_of_a_service_is_exported(package: str) -> None:
    """Its client is a base of `Client`, its errors are in `etcd_client.errors`."""
    module = importlib.import_module(f"etcd_{package}")
    bases = {kind.__name__ for kind in Client.__mro__}
    elsewhere = {*EXPORTED, *errors.__all__, *bases, *FULFILLED}
    assert [name for name in module.__all__ if name not in elsewhere] == []


def _errors() -> set[type[ClientError]]:
    found = {ClientError}
    waiting = [ClientError]
    while waiting:
        below = waiting.pop().__subclasses__()
        found.update(below)
        waiting += below
    return {kind for kind in found if _is_ours(kind)}


def test_every_error_is_in_etcd_client_errors() -> None:
    assert {getattr(errors, name) for name in errors.__all__} == _errors()


def test_exported_errors_are_those_of_etcd_client_errors() -> None:
    exported = {name: thing for name, thing in CLASSES.items() if issubclass(thing, ClientError)}
    assert exported == {name: getattr(errors, name) for name in exported}
