"""The documented API is complete: every name in its module, every parameter in its position.

documented_api.tsv has one row for each documented name: the module, the name, the package that must
have the same object, and the parameters of a callable.
"""

from __future__ import annotations

import csv
import importlib
import inspect
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import aetcd
import etcd_client


class Row(NamedTuple):
    """A row of the table."""

    module: str
    name: str
    defined_in: str
    kind: str
    parameters: str

    @property
    def owner(self) -> str:
        return self.name.split(".")[0]

    def found(self) -> Any:
        """The object with the name, including the class of an attribute."""
        found = importlib.import_module(self.module)
        for part in self.name.split("."):
            found = getattr(found, part)
        return found


def rows() -> list[Row]:
    with Path(__file__).with_name("documented_api.tsv").open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file, delimiter="\t")
    assert header == list(Row._fields)
    return [Row(*line) for line in lines]


ROWS = rows()
NAMES = [row for row in ROWS if row.name == row.owner]
CALLABLES = [row for row in ROWS if row.kind == "callable"]
ATTRIBUTES = [row for row in ROWS if row.kind == "attribute"]


def identifier(row: Row) -> str:
    return f"{row.module}.{row.name}"


@pytest.mark.parametrize("row", NAMES, ids=identifier)
def test_a_documented_name_is_the_same_object_everywhere(row: Row) -> None:
    found = row.found()
    assert getattr(importlib.import_module(row.defined_in), row.name) is found
    assert row.name in importlib.import_module(row.module).__all__
    # The name is also at the top of both module trees.
    if row.module != "aetcd.utils":
        assert getattr(aetcd, row.name) is found
    assert getattr(etcd_client, row.name) is found


@pytest.mark.parametrize("row", CALLABLES, ids=identifier)
def test_a_documented_parameter_keeps_its_position_and_default(row: Row) -> None:
    documented = inspect.signature(eval(f"lambda {row.parameters}: None"))
    found = row.found()
    actual = list(inspect.signature(found).parameters.values())
    if "." in row.name and not inspect.isclass(found):
        assert actual.pop(0).name == "self"
    by_position = [parameter for parameter in actual if parameter.kind in BY_POSITION]
    assert [(parameter.name, parameter.default) for parameter in by_position] == [
        (parameter.name, parameter.default) for parameter in documented.parameters.values()
    ]
    # Further parameters are keyword-only and optional.
    for parameter in actual[len(by_position) :]:
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            assert parameter.default is not inspect.Parameter.empty


BY_POSITION = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)


@pytest.mark.parametrize("row", ATTRIBUTES, ids=identifier)
def test_every_documented_attribute_exists(row: Row) -> None:
    kind = getattr(importlib.import_module(row.module), row.owner)
    attribute = row.name.split(".")[1]
    declared = {name for each in kind.__mro__ for name in inspect.get_annotations(each)}
    assert hasattr(kind, attribute) or attribute in declared


def test_the_documented_modules_have_only_documented_names() -> None:
    for module in sorted({row.module for row in ROWS}):
        documented = {row.name for row in NAMES if row.module == module}
        assert set(importlib.import_module(module).__all__) == documented, module


def test_every_module_of_the_tree_is_reached_by_importing_its_root() -> None:
    for module in {row.module for row in ROWS}:
        assert getattr(aetcd, module.removeprefix("aetcd.")) is importlib.import_module(module)


@pytest.mark.parametrize("row", [row for row in ROWS if row.kind == "exception"], ids=identifier)
def test_a_documented_error_can_be_raised_as_documented(row: Row) -> None:
    error = row.found()
    assert issubclass(error, aetcd.ClientError)
    documented = [7] * bool(row.parameters)
    assert isinstance(error(*documented), Exception)
    # Like any exception, it also accepts a message.
    assert "in vain" in str(error(*documented, "in vain"))


def test_an_event_kind_is_a_string_too() -> None:
    assert aetcd.EventKind("PUT") is aetcd.EventKind.PUT
    assert aetcd.EventKind.DELETE == "DELETE"


@pytest.mark.parametrize("module", ["etcd_client", "aetcd"])
def test_every_exported_name_exists(module: str) -> None:
    package = importlib.import_module(module)
    assert [name for name in package.__all__ if not hasattr(package, name)] == []
    assert len(package.__all__) == len(set(package.__all__))
