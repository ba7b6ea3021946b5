"""Holds the descriptors and the RPC tables against wire-schema.tsv, in both directions.

The table has what etcd speaks: every message, field, number, type, label, oneof, enum, value
and RPC, under etcd's own names. Ours are translated into these before they are compared.
"""

from __future__ import annotations

import csv
import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

import etcd_auth.rpcs
import etcd_channel.rpcs
import etcd_cluster.rpcs
import etcd_kv.rpcs
import etcd_lease.rpcs
import etcd_lock.rpcs
import etcd_watch.rpcs
from etcd_channel.rpc import Rpc

TABLE = Path(__file__).parent / "wire-schema.tsv"
PROTOS = Path(__file__).parents[2] / "protos"
RPC_TABLES = [
    etcd_auth.rpcs,
    etcd_channel.rpcs,
    etcd_cluster.rpcs,
    etcd_kv.rpcs,
    etcd_lease.rpcs,
    etcd_lock.rpcs,
    etcd_watch.rpcs,
]

# Our proto packages by etcd's, and the messages that etcd has in another one than their neighbours.
ETCD_PACKAGE = {
    "etcd.auth": "etcdserverpb",
    "etcd.cluster": "etcdserverpb",
    "etcd.common": "etcdserverpb",
    "etcd.kv": "etcdserverpb",
    "etcd.lease": "etcdserverpb",
    "etcd.maintenance": "etcdserverpb",
    "etcd.v3election": "v3electionpb",
    "etcd.v3lock": "v3lockpb",
    "etcd.watch": "etcdserverpb",
}
ELSEWHERE = {
    "etcd.auth.Permission": "authpb",
    "etcd.auth.Role": "authpb",
    "etcd.auth.User": "authpb",
    "etcd.auth.UserAddOptions": "authpb",
    "etcd.common.KeyValue": "mvccpb",
    "etcd.watch.Event": "mvccpb",
}

# What leaves the cluster as one sending would, sent however often.
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
ENDLESS = {
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
    """What protobuf itself has of each of our .proto files; none can be forgotten here."""
    for path in sorted(PROTOS.rglob("*.proto")):
        name = path.relative_to(PROTOS).with_suffix("").as_posix().replace("/", ".")
        file = descriptor_pb2.FileDescriptorProto()
        importlib.import_module(f"{name}_pb2").DESCRIPTOR.CopyToProto(file)
        yield file


def etcd_name(ours: str) -> str:
    """etcd.kv.Compare.CompareTarget -> etcdserverpb.Compare.CompareTarget"""
    first, second, message, *nested = ours.lstrip(".").split(".")
    package = f"{first}.{second}"
    etcd_package = ELSEWHERE.get(f"{package}.{message}", ETCD_PACKAGE[package])
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
        path = f"/{ETCD_PACKAGE[package]}.{service.name}/{method.name}"
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


def test_the_table_is_the_whole_of_etcd() -> None:
    """A table cut short would let everything pass that is cut short alike."""
    kinds = [row["kind"] for row in table_rows()]
    counts = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    assert counts == {"enum": 10, "field": 261, "message": 117, "rpc": 49, "value": 33}


@pytest.mark.parametrize("kinds", [("message", "enum"), ("field",), ("value",), ("rpc",)])
def test_descriptors_are_as_the_table_says(kinds: tuple[str, ...]) -> None:
    assert of_kind(facts_of_the_descriptors(), kinds) == of_kind(facts_of_the_table(), kinds)


def test_no_name_of_etcd_is_defined_twice() -> None:
    """Two of our files with one message would hide each other in the facts above."""
    defined = [
        etcd_name(f"{file.package}.{message.name}")
        for file in files()
        for message in file.message_type
    ]
    assert len(defined) == len(set(defined))


def test_rpc_tables_are_as_the_table_says() -> None:
    ours = {
        rpc.path: f"{etcd_name(rpc.request.DESCRIPTOR.full_name)} -> "
        f"{etcd_name(rpc.response.DESCRIPTOR.full_name)}"
        for rpc in rpcs()
    }
    assert len(ours) == len(rpcs()), "a path stands in two tables"
    assert ours == {row["name"]: row["type"] for row in table_rows() if row["kind"] == "rpc"}


def test_rpcs_are_since_the_version_that_brought_their_messages() -> None:
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


def test_only_what_can_be_sent_twice_is_repeatable() -> None:
    assert {rpc.path for rpc in rpcs() if rpc.repeatable} == REPEATABLE


def test_only_what_ends_at_no_known_time_is_endless() -> None:
    assert {rpc.path for rpc in rpcs() if rpc.endless} == ENDLESS


@pytest.mark.parametrize("table", RPC_TABLES, ids=lambda table: table.__name__)
def test_rpc_tables_export_every_rpc_and_nothing_else(table: Any) -> None:
    assert sorted(table.__all__) == sorted(
        name for name, value in vars(table).items() if isinstance(value, Rpc)
    )
