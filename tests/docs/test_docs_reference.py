"""The reference has an entry for each public name, and none twice."""

from __future__ import annotations

import importlib
import inspect
import re
from collections import Counter
from pathlib import Path

import docs_hooks
import docs_values
import griffe
import pytest
from workspace import ROOT, packages

import etcd_channel
import etcd_client
import etcd_kv
import etcd_lease

PAGES = sorted((ROOT / "docs" / "reference").glob("*.md"))

ENTRY = re.compile(r"^::: ([\w.]+)$|\[\]\(\){#([\w.]+)}", re.MULTILINE)
"""An entry, or a row of a table that leads to it under the name of another module."""

OTHERS = (
    "etcd_channel.errors",
    "etcd_channel.deadline",
    "etcd_channel.metadata",
    "etcd_channel.opentelemetry",
    "etcd_channel.owner",
    "etcd_channel.tasks",
    "etcd_testing.played",
    "etcd_testing.plugin",
)
"""Modules with a part of the reference, beside the packages."""


def modules() -> list[str]:
    found = [path.name for package in packages().values() for path in package.imports]
    return [*sorted(found), *OTHERS]


def entries(text: str) -> Counter[str]:
    return Counter(next(filter(None, found.groups())) for found in ENTRY.finditer(text))


@pytest.fixture(scope="module")
def reference() -> Counter[str]:
    return entries(
        "\n".join(docs_hooks.on_page_markdown(page.read_text("utf-8")) for page in PAGES)
    )


def names_of(module: str) -> list[str]:
    imported = importlib.import_module(module)
    return [name for name in imported.__all__ if not inspect.ismodule(getattr(imported, name))]


@pytest.mark.parametrize("module", modules())
def test_each_public_name_of_a_module_has_one_entry(module: str, reference: Counter[str]) -> None:
    told = {name: reference[f"{module}.{name}"] for name in names_of(module)}
    assert {name: count for name, count in told.items() if count != 1} == {}


def test_no_other_name_has_an_entry(reference: Counter[str]) -> None:
    known = {f"{module}.{name}" for module in modules() for name in names_of(module)}
    client = {f"etcd_client.Client.{name}" for name in dir(etcd_client.Client)}
    assert sorted({*reference} - known - client) == []


def test_every_method_that_the_whole_client_inherits_has_a_row(reference: Counter[str]) -> None:
    # The reference has Service too.
    own = {**vars(etcd_client.Client), **vars(etcd_channel.Service)}
    public = [name for name in dir(etcd_client.Client) if not name.startswith("_")]
    rows = {name: reference[f"etcd_client.Client.{name}"] for name in public if name not in own}
    assert rows
    assert {name: count for name, count in rows.items() if count != 1} == {}


def test_a_name_that_is_missing_or_doubled_is_noticed() -> None:
    shown = docs_hooks.on_page_markdown("<!-- reference: etcd_kv -->")
    assert entries(shown)["etcd_kv.Put"] == 1
    assert entries(shown.replace("::: etcd_kv.Put\n", ""))["etcd_kv.Put"] == 0
    assert entries(f"{shown}\n\n::: etcd_kv.Put\n")["etcd_kv.Put"] == 2


def members(module: str, name: str) -> list[str]:
    lines = docs_hooks.reference(module).splitlines()
    options = lines[lines.index(f"::: {module}.{name}") + 1 :]
    listed = next(line for line in options if line.lstrip().startswith("members:"))
    return re.findall(r"\w+", listed.partition(":")[2])


def test_a_clients_own_methods_come_before_those_it_inherits() -> None:
    listed = members("etcd_kv", "KVClient")
    own = [name for name in vars(etcd_kv.KVClient) if not name.startswith("_")]
    assert {"get", "put", "transaction"} <= {*own}
    assert listed[: len(own)] == own
    assert {"put_many", "scan_prefix"} <= {*listed[len(own) :]}


def test_the_table_of_a_clients_methods_has_the_same_order() -> None:
    table = docs_hooks.methods("etcd_client.Client")
    get, put_many = (table.index(f"[`{name}`]") for name in ("get", "put_many"))
    assert get < put_many


def test_the_fields_of_a_result_are_in_the_order_of_its_constructor() -> None:
    fields = list(inspect.signature(etcd_lease.LeaseInfo).parameters)
    assert [name for name in members("etcd_lease", "LeaseInfo") if name in fields] == fields


def test_clients_come_first_and_types_last() -> None:
    order = list(entries(docs_hooks.reference("etcd_kv")))
    assert order[0] == "etcd_kv.KVClient"
    errors, types = order.index("etcd_kv.BulkError"), order.index("etcd_kv.SortOrder")
    assert order.index("etcd_kv.Put") < errors < types


def test_a_table_of_names_leads_to_the_package_that_exports_each() -> None:
    table = docs_hooks.names("etcd_client")
    assert "[](){#etcd_client.Alarm}[`Alarm`][etcd_cluster.Alarm] | An alarm" in table
    assert "| [`Client`][etcd_client.Client] |" in table
    assert f"[etcd_channel.errors.{etcd_channel.ClientError.__name__}]" in table


def test_a_summary_is_the_first_sentence_and_safe_in_a_table() -> None:
    put = docs_hooks.modules()["etcd_kv.KVClient.put"]
    assert docs_hooks.summary(put).endswith(".")
    assert "\n" not in docs_hooks.summary(put)


def test_a_comment_of_another_kind_stays() -> None:
    text = "before\n\n<!-- a remark: etcd_kv -->\n\nafter <!-- names: etcd_kv -->\n"
    assert docs_hooks.on_page_markdown(text) == text


def test_a_module_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(KeyError, match="etcd_nothing"):
        docs_hooks.on_page_markdown("<!-- names: etcd_nothing -->")


SOURCE = """
_SIZE = 8
_NAME = "here"
_UNSET = object()
PUBLIC = 9


class Thing:
    limit: int = 4

    def __init__(self, size: int = _SIZE, name: str = _NAME, unset: object = _UNSET) -> None:
        self.size = size or 3
        self.name: str = name

    def again(self, size: int = PUBLIC, other: int = 1) -> None: ...
"""


def test_a_default_is_shown_by_its_value_unless_its_name_is_public() -> None:
    thing = shown(SOURCE)["Thing"]
    defaults = [str(parameter.default) for parameter in thing["__init__"].parameters][1:]
    assert defaults == ["8", "'here'", "_UNSET"]
    assert [str(parameter.default) for parameter in thing["again"].parameters][1:] == [
        "PUBLIC",
        "1",
    ]


def test_the_expressions_of_a_constructor_are_not_shown() -> None:
    thing = shown(SOURCE)["Thing"]
    assert [thing[name].value for name in ("size", "name")] == [None, None]
    assert str(thing["limit"].value) == "4"
    assert str(shown(SOURCE)["PUBLIC"].value) == "9"


def shown(source: str) -> griffe.Module:
    module = griffe.visit("a_module", Path("a_module.py"), source)
    docs_values.Values().on_package(pkg=module)
    return module
