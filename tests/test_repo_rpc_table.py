"""docs/rpcs.md: every RPC of etcd has its method, and every method of the table is there."""

from __future__ import annotations

import ast
import csv
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from etcd_channel import Rpc, Service

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "rpcs.md"
SCHEMA = ROOT / "tests" / "wire" / "wire-schema.tsv"
PACKAGES = (
    "etcd_auth",
    "etcd_channel",
    "etcd_cluster",
    "etcd_kv",
    "etcd_lease",
    "etcd_lock",
    "etcd_watch",
)


class Row(NamedTuple):
    rpc: str
    methods: list[str]
    since: str


def rows() -> list[Row]:
    found = []
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            rpc, methods, since = (cell.strip() for cell in line.strip("|").split("|"))
            found.append(Row(rpc.strip("`"), re.findall(r"`([^`]+)`", methods), since))
    return found


def rpcs_of_etcd() -> set[str]:
    with SCHEMA.open(encoding="utf-8", newline="") as file:
        paths = [
            row["name"] for row in csv.DictReader(file, delimiter="\t") if row["kind"] == "rpc"
        ]
    # /etcdserverpb.KV/Range -> KV.Range
    return {path.rpartition(".")[2].replace("/", ".") for path in paths}


def rpcs_of(package: str) -> dict[str, Rpc[Any, Any]]:
    table = importlib.import_module(f"{package}.rpcs")
    return {name: getattr(table, name) for name in table.__all__}


def public_classes() -> dict[str, type]:
    modules = [importlib.import_module(package) for package in PACKAGES]
    return {
        name: value
        for module in modules
        for name, value in exported(module)
        if isinstance(value, type)
    }


def exported(module: ModuleType) -> Iterator[tuple[str, Any]]:
    return ((name, getattr(module, name)) for name in module.__all__)


def test_every_rpc_of_etcd_has_one_row() -> None:
    named = [row.rpc for row in rows()]
    assert sorted(named) == sorted(rpcs_of_etcd())


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.rpc)
def test_the_methods_of_a_row_are_there(row: Row) -> None:
    assert row.methods
    classes = public_classes()
    for name in row.methods:
        class_name, _, method_name = name.partition(".")
        assert class_name in classes, name
        method = inspect.getattr_static(classes[class_name], method_name, None)
        assert inspect.isfunction(method), name
        assert not method_name.startswith("_"), name
        assert inspect.getdoc(method), name


def test_a_row_tells_since_when_the_server_has_it() -> None:
    since = {rpc.name: rpc.since for package in PACKAGES for rpc in rpcs_of(package).values()}
    assert {row.rpc: row.since for row in rows()} == since


@pytest.mark.parametrize("package", PACKAGES)
def test_every_rpc_is_used_where_it_is_named(package: str) -> None:
    """A row whose method speaks something else would be found here, where nothing else does."""
    unused = set(rpcs_of(package))
    module = importlib.import_module(package)
    assert module.__file__ is not None
    for path in Path(module.__file__).parent.glob("*.py"):
        if path.name != "rpcs.py":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            unused -= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not unused


def test_every_method_of_a_service_client_that_calls_etcd_stands_in_a_row() -> None:
    """But for those that put several calls together, and say so here."""
    composed = {
        "LockClient.lock",
        "LockClient.session",
    }
    named = {name for row in rows() for name in row.methods}
    public = {
        f"{class_name}.{method_name}"
        for class_name, kind in public_classes().items()
        if issubclass(kind, Service) and kind is not Service
        for method_name, method in vars(kind).items()
        if inspect.isfunction(method) and not method_name.startswith("_")
    }
    assert public - named == composed
