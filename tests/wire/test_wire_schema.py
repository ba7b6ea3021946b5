"""Compares the descriptors and the RPC tables with etcd-api.tsv, in both directions.

The table has every message, field, number, type, label, oneof, enum, value and RPC of etcd, under
etcd's names. Ours are translated to these first.
"""

from __future__ import annotations

import csv
import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from etcd_channel.rpc import Rpc

PACKAGES = Path(__file__).parents[2] / "packages"
TABLE = PACKAGES / "etcd-testing" / "src" / "etcd_testing" / "etcd-api.tsv"
PROTOS = Path(__file__).parents[2] / "protos"
RPC_TABLES = [
    importlib.import_module(f"{path.parent.name}.rpcs")
    for path in sorted(PROTOS.parent.glob("packages/*/src/*/rpcs.py"))
]

# etcd's proto packages by ours where they are not etcdserverpb, and the messages that etcd has in
# another one than their neighbours.
ETCD_PACKAGE = {"etcd.v3election": "v3electionpb", "etcd.v3lock": "v3lockpb"}
ELSEWHERE = {
    "etcd.auth.Permission": "authpb",
    "etcd.auth.Role": "authpb",
    "etcd.auth.User": "authpb",
    "etcd.auth.UserAddOptions": "authpb",
    "etcd.common.KeyValue": "mvccpb",
    "etcd.watch.Event": "mvccpb",
}

# These requests have the same effect if they are sent several times.
REPEATABLE = {
    "/etcdserverpb.Auth/AuthStatus",
    "/etcdserverpb.Auth/Authenticate",
    "/etcdserverpb.Auth/RoleGet",
    "/etcdserverpb.Auth/RoleList",
    "/etcdserverpb.Auth/UserGet",
    "/etcdserverpb.Auth/UserList",
    "/etcdserverpb.Cluster/MemberList",
    "/etcdserverpb.KV/Range",
    "/etcdserverpb.KV/RangeStream",
    "/etcdserverpb.Lease/LeaseKeepAlive",
    "/etcdserverpb.Lease/LeaseLeases",
    "/etcdserverpb.Lease/LeaseRevoke",
    "/etcdserverpb.Lease/LeaseTimeToLive",
    "/etcdserverpb.Maintenance/Hash",
    "/etcdserverpb.Maintenance/HashKV",
    "/etcdserverpb.Maintenance/Snapshot",
    "/etcdserverpb.Maintenance/Status",
    "/etcdserverpb.Watch/Watch",
    "/v3electionpb.Election/Leader",
    "/v3electionpb.Election/Observe",
}
UNBOUNDED = {
    "/etcdserverpb.Lease/LeaseKeepAlive",
    "/etcdserverpb.Maintenance/Defragment",
    "/etcdserverpb.Maintenance/Snapshot",
    "/etcdserverpb.Watch/Watch",
    "/v3electionpb.Election/Campaign",
    "/v3electionpb.Election/Observe",
    "/v3lockpb.Lock/Lock",
}

# A line of the table without the version: kind, name -> number, type, label or streaming, oneof.
Facts = dict[tuple[str, str], tuple[str, str, str, str]]


def table_rows() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def facts_of_the_table() -> Facts:
    return {
        (row["kind"], row["name"]): (
            row["number"],
            row["type"],
            row["label_or_streaming"],
            row["oneof"],
        )
        for row in table_rows()
    }


def files() -> Iterator[descriptor_pb2.FileDescriptorProto]:
    """The descriptors of all .proto files."""
    for path in sorted(PROTOS.rglob("*.proto")):
        name = path.relative_to(PROTOS).with_suffix("").as_posix().replace("/", ".")
        file = descriptor_pb2.FileDescriptorProto()
        importlib.import_module(f"{name}_pb2").DESCRIPTOR.CopyToProto(file)
        yield file


def package_of_etcd(ours: str) -> str:
    return ETCD_PACKAGE.get(ours, "etcdserverpb")


def etcd_name(ours: str) -> str:
    """etcd.kv.Compare.CompareTarget -> etcdserverpb.Compare.CompareTarget"""
    first, second, message, *nested = ours.lstrip(".").split(".")
    package = f"{first}.{second}"
    etcd_package = ELSEWHERE.get(f"{package}.{message}", package_of_etcd(package))
    return ".".join([etcd_package, message, *nested])


def type_name(field: descriptor_pb2.FieldDescriptorProto) -> str:
    if field.type_name:
        return etcd_name(field.type_name)
    return descriptor_pb2.FieldDescriptorProto.Type.Name(field.type).lower().removeprefix("type_")


def facts_of_an_enum(enum: descriptor_pb2.EnumDescriptorProto, scope: str) -> Facts:
    name = etcd_name(f"{scope}.{enum.name}")
    facts: Facts = {("enum", name): ("", "", "", "")}
    for value in enum.value:
        facts["value", f"{name}.{value.name}"] = (str(value.number), "", "", "")
    return facts


def facts_of_a_message(message: descriptor_pb2.DescriptorProto, scope: str) -> Facts:
    ours = f"{scope}.{message.name}"
    facts: Facts = {("message", etcd_name(ours)): ("", "", "", "")}
    for enum in message.enum_type:
        facts |= facts_of_an_enum(enum, ours)
    for nested in message.nested_type:
        facts |= facts_of_a_message(nested, ours)
    for field in message.field:
        repeated = field.label == descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
        oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
        facts["field", f"{etcd_name(ours)}.{field.name}"] = (
            str(field.number),
            type_name(field),
            "repeated" if repeated else "",
            oneof,
        )
    return facts


def facts_of_a_service(service: descriptor_pb2.ServiceDescriptorProto, package: str) -> Facts:
    facts: Facts = {}
    for method in service.method:
        streaming = ["client_stream"] * method.client_streaming
        streaming += ["server_stream"] * method.server_streaming
        messages = f"{etcd_name(method.input_type)} -> {etcd_name(method.output_type)}"
        path = f"/{package_of_etcd(package)}.{service.name}/{method.name}"
        facts["rpc", path] = ("", messages, " ".join(streaming), "")
    return facts


def facts_of_the_descriptors() -> Facts:
    facts: Facts = {}
    for file in files():
        for enum in file.enum_type:
            facts |= facts_of_an_enum(enum, file.package)
        for message in file.message_type:
            facts |= facts_of_a_message(message, file.package)
        for service in file.service:
            facts |= facts_of_a_service(service, file.package)
    return facts


def of_kind(facts: Facts, kinds: Iterable[str]) -> Facts:
    return {key: fact for key, fact in facts.items() if key[0] in kinds}


def rpcs() -> list[Rpc[Any, Any]]:
    return [
        value for table in RPC_TABLES for value in vars(table).values() if isinstance(value, Rpc)
    ]


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def test_the_table_is_complete() -> None:
    """Otherwise a truncated table would accept truncated descriptors."""
    kinds = [row["kind"] for row in table_rows()]
    counts = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    assert counts == {"enum": 10, "field": 261, "message": 117, "rpc": 49, "value": 33}


@pytest.mark.parametrize("kinds", [("message", "enum"), ("field",), ("value",), ("rpc",)])
def test_descriptors_match_the_table(kinds: tuple[str, ...]) -> None:
    assert of_kind(facts_of_the_descriptors(), kinds) == of_kind(facts_of_the_table(), kinds)


def test_no_name_of_etcd_is_defined_twice() -> None:
    """In the facts above one of them would hide the other."""
    defined = [
        etcd_name(f"{file.package}.{message.name}")
        for file in files()
        for message in file.message_type
    ]
    assert len(defined) == len(set(defined))


def test_rpc_tables_match_the_table() -> None:
    ours = {
        rpc.path: f"{etcd_name(rpc.request.DESCRIPTOR.full_name)} -> "
        f"{etcd_name(rpc.response.DESCRIPTOR.full_name)}"
        for rpc in rpcs()
    }
    assert len(ours) == len(rpcs()), "a path stands in two tables"
    assert ours == {row["name"]: row["type"] for row in table_rows() if row["kind"] == "rpc"}


def test_rpcs_have_the_version_that_added_their_messages() -> None:
    since = {row["name"]: row["since"] for row in table_rows() if row["kind"] == "message"}
    for rpc in rpcs():
        if rpc.path.startswith(("/v3lockpb.", "/v3electionpb.")):
            # The table has no versions for these two; etcd 3.2 brought them.
            expected = "3.2"
        else:
            messages = [
                etcd_name(message.DESCRIPTOR.full_name) for message in (rpc.request, rpc.response)
            ]
            expected = max((since[name] or "3.0" for name in messages), key=version)
        assert rpc.since == expected, rpc.path


def test_only_idempotent_rpcs_are_repeatable() -> None:
    assert {rpc.path for rpc in rpcs() if rpc.repeatable} == REPEATABLE


def test_only_rpcs_that_take_an_unknown_time_are_unbounded() -> None:
    assert {rpc.path for rpc in rpcs() if rpc.unbounded} == UNBOUNDED


@pytest.mark.parametrize("table", RPC_TABLES, ids=lambda table: table.__name__)
def test_rpc_tables_export_every_rpc_and_nothing_else(table: Any) -> None:
    assert sorted(table.__all__) == sorted(
        name for name, value in vars(table).items() if isinstance(value, Rpc)
    )
