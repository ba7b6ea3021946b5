"""The type hints of public functions can be evaluated at run time.

Frameworks do so: by `typing.get_type_hints` they inject, validate and document.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Iterator
from types import ModuleType

import pytest
from workspace import packages

IMPORTS = sorted(path.name for package in packages().values() for path in package.imports)


def public_modules(name: str) -> Iterator[ModuleType]:
    """A package and the modules in it, without private and generated ones."""
    package = importlib.import_module(name)
    yield package
    for found in pkgutil.walk_packages(package.__path__, f"{name}."):
        parts = found.name.split(".")
        if "pb" not in parts and not any(part.startswith("_") for part in parts):
            yield importlib.import_module(found.name)


def with_hints(name: str) -> dict[str, object]:
    """The public objects of a package that can be annotated, by name."""
    found: dict[str, object] = {}
    for module in public_modules(name):
        for public in getattr(module, "__all__", ()):
            thing = getattr(module, public)
            if inspect.isclass(thing):
                found[f"{module.__name__}.{public}"] = thing
                for attribute, function in functions_of(thing):
                    found[f"{module.__name__}.{public}.{attribute}"] = function
            elif inspect.isfunction(thing):
                found[f"{module.__name__}.{public}"] = thing
    return found


def functions_of(kind: type) -> Iterator[tuple[str, object]]:
    """The methods and properties of a class that are called from outside, inherited ones too."""
    for each in kind.__mro__:
        if each.__module__.split(".")[0] not in IMPORTS:
            continue
        for name, attribute in vars(each).items():
            if name.startswith("_") and not name.endswith("__"):
                continue
            if isinstance(attribute, (classmethod, staticmethod)):
                attribute = attribute.__func__
            elif isinstance(attribute, property):
                attribute = attribute.fget
            elif isinstance(attribute, functools.cached_property):
                attribute = attribute.func
            if inspect.isfunction(attribute):
                yield name, attribute


def problem_of(thing: object) -> str | None:
    try:
        typing.get_type_hints(thing)
    except Exception as error:
        return repr(error)
    return None


@pytest.mark.parametrize("name", IMPORTS)
def test_the_type_hints_of_everything_public_can_be_evaluated(name: str) -> None:
    problems = {place: problem_of(thing) for place, thing in with_hints(name).items()}
    assert {place: problem for place, problem in problems.items() if problem} == {}


def test_the_type_hints_of_client_methods_are_public_types() -> None:
    etcd_client = importlib.import_module("etcd_client")
    hints = typing.get_type_hints(etcd_client.Client.get)
    assert hints["return"] == etcd_client.Get | None
    assert hints["revision"] == int | None
    hints = typing.get_type_hints(etcd_client.Client.get_prefix)
    assert hints["sort_order"] == etcd_client.SortOrder | None
    assert "etcd_client.Client.put" in with_hints("etcd_client")


@pytest.mark.parametrize("method", ["get", "get_prefix", "get_range", "get_all", "stream_range"])
def test_every_option_of_a_read_is_in_its_signature(method: str) -> None:
    function = getattr(importlib.import_module("etcd_client").Client, method)
    parameters = inspect.signature(function).parameters
    assert {"revision", "keys_only", "min_mod_revision", "max_create_revision"} <= set(parameters)
    assert all(p.kind is not inspect.Parameter.VAR_KEYWORD for p in parameters.values())
