"""docs/rpcs.md: every RPC of etcd has a method, and every method in the table exists.

docs/guarantees.md: the RPCs that are repeated are those whose rows say so.
"""

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
GUARANTEES = ROOT / "docs" / "guarantees.md"
SCHEMA = ROOT / "packages" / "etcd-testing" / "src" / "etcd_testing" / "etcd-api.tsv"
PACKAGES = sorted(path.parent.name for path in ROOT.glob("packages/*/src/*/rpcs.py"))


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
def test_the_methods_of_a_row_exist(row: Row) -> None:
    assert row.methods
    classes = public_classes()
    for name in row.methods:
        class_name, _, method_name = name.partition(".")
        assert class_name in classes, name
        method = inspect.getattr_static(classes[class_name], method_name, None)
        assert inspect.isfunction(method), name
        assert not method_name.startswith("_"), name
        assert inspect.getdoc(method), name


def test_a_row_has_the_version_of_etcd_that_brought_the_rpc() -> None:
    since = {rpc.name: rpc.since for package in PACKAGES for rpc in rpcs_of(package).values()}
    assert {row.rpc: row.since for row in rows()} == since


@pytest.mark.parametrize("package", PACKAGES)
def test_every_rpc_is_used_where_it_is_named(package: str) -> None:
    """This detects a method that uses another RPC than in its row."""
    unused = set(rpcs_of(package))
    module = importlib.import_module(package)
    assert module.__file__ is not None
    for path in Path(module.__file__).parent.glob("*.py"):
        if path.name != "rpcs.py":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            unused -= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not unused


def test_every_method_of_a_service_client_that_calls_etcd_has_a_row() -> None:
    """Except methods that combine several calls, which are listed here."""
    composed = {
        "KVClient.coalescing",
        "LockClient.election_leader",
        "LockClient.lock",
        "LockClient.observe_election",
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


# Repeated only where the service client says so: a grant with an id of its own, a list of alarms.
SOMETIMES = {"Lease.LeaseGrant", "Maintenance.Alarm"}


def repeated() -> dict[str, str]:
    """Whether an RPC is repeated after a lost answer, as the guarantees say."""
    found: dict[str, str] = {}
    for line in GUARANTEES.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for name in re.findall(r"`(\w+\.\w+)`", cells[0]) if line.startswith("| `") else ():
            assert name not in found
            found[name] = cells[1]
    return found


def test_the_guarantees_say_of_every_rpc_whether_it_is_repeated() -> None:
    assert repeated().keys() == rpcs_of_etcd()


def test_an_rpc_is_repeated_if_the_guarantees_say_so() -> None:
    known = {rpc.name: rpc.repeatable for package in PACKAGES for rpc in rpcs_of(package).values()}
    said = {name: text == "yes" for name, text in repeated().items()}
    assert said == known
    neither = {name for name, text in repeated().items() if text not in {"yes", "no"}}
    assert neither == SOMETIMES


# The packages whose RPCs concern the whole cluster, and Authenticate, which no view sees.
WITHOUT_NAMESPACES = {"etcd_cluster", "etcd_auth", "etcd_channel"}


def test_every_rpc_that_may_be_called_in_a_namespace_says_where_its_keys_are() -> None:
    """Also those that a package makes outside of its table, to call the service of another one."""
    silent = []
    seen = 0
    for path in sorted(ROOT.glob("packages/*/src/*/*.py")):
        if path.parent.name in WITHOUT_NAMESPACES:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "Rpc":
                seen += 1
                if "keys" not in {keyword.arg for keyword in node.keywords}:
                    silent.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert silent == []
    assert seen > 15
