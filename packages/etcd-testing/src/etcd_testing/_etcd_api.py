"""etcd's messages and RPCs, created from the table etcd-api.tsv at first use.

The classes are in a descriptor pool of their own, so that they do not collide with those of a
client. Needs protobuf.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["EtcdRpc", "message_classes", "rpc_of", "rpcs"]

TABLE = Path(__file__).with_name("etcd-api.tsv")

Row = dict[str, str]
File = descriptor_pb2.FileDescriptorProto
Message = descriptor_pb2.DescriptorProto
Field = descriptor_pb2.FieldDescriptorProto


@dataclass(frozen=True)
class EtcdRpc:
    """One RPC of etcd."""

    path: str
    request: type[Any]
    response: type[Any]
    client_streams: bool
    server_streams: bool

    @property
    def name(self) -> str:
        """The name in etcd's documentation, "KV.Range"."""
        return name_of(self.path)


def name_of(path: str) -> str:
    return path.rpartition(".")[2].replace("/", ".")


@functools.cache
def rows() -> tuple[Row, ...]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file, delimiter="\t"))


@functools.cache
def message_classes() -> dict[str, type[Any]]:
    """Return the class of every message, by its name without a package."""
    pool = descriptor_pool.DescriptorPool()
    made = files()
    added: set[str] = set()

    def add(file: File) -> None:
        if file.name not in added:
            added.add(file.name)
            for dependency in file.dependency:
                add(made[dependency])
            pool.Add(file)

    for file in made.values():
        add(file)
    names = [
        f"{file.package}.{message.name}" for file in made.values() for message in file.message_type
    ]
    return {
        name.partition(".")[2]: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
        for name in names
    }


@functools.cache
def rpcs() -> dict[str, EtcdRpc]:
    """Return every RPC, by its name."""
    found = {}
    for row in rows():
        if row["kind"] != "rpc":
            continue
        request, response = (
            message_classes()[name.partition(".")[2]] for name in row["type"].split(" -> ")
        )
        streams = row["label_or_streaming"].split()
        path = row["name"]
        found[name_of(path)] = EtcdRpc(
            path, request, response, "client_stream" in streams, "server_stream" in streams
        )
    return found


def rpc_of(path: str) -> EtcdRpc | None:
    found = rpcs().get(name_of(path))
    return found if found is not None and found.path == path else None


def files() -> dict[str, File]:
    """Return a descriptor for each of etcd's proto packages, by its file name."""
    enums = {row["name"] for row in rows() if row["kind"] == "enum"}
    made: dict[str, File] = {}
    messages: dict[str, Message] = {}
    for row in rows():
        if row["kind"] == "rpc":
            continue
        package, _, name = row["name"].partition(".")
        file_name = f"etcd_testing/{package}.proto"
        if file_name not in made:
            made[file_name] = File(name=file_name, package=package, syntax="proto3")
        file = made[file_name]
        owner, _, last = name.rpartition(".")
        match row["kind"]:
            case "message":
                messages[name] = file.message_type.add(name=name)
            case "enum":
                (messages[owner] if owner else file).enum_type.add(name=last)
            case "value":
                outer, _, enum = owner.rpartition(".")
                (into,) = (
                    each
                    for each in (messages[outer] if outer else file).enum_type
                    if each.name == enum
                )
                into.value.add(name=last, number=int(row["number"]))
            case "field":
                add_field(messages[owner], row, enums)
                used = row["type"].partition(".")[0]
                dependency = f"etcd_testing/{used}.proto"
                if "." in row["type"] and used != package and dependency not in file.dependency:
                    file.dependency.append(dependency)
    return made


def add_field(message: Message, row: Row, enums: set[str]) -> None:
    repeated = row["label_or_streaming"] == "repeated"
    field = message.field.add(
        name=row["name"].rpartition(".")[2],
        number=int(row["number"]),
        label=Field.LABEL_REPEATED if repeated else Field.LABEL_OPTIONAL,
    )
    if "." in row["type"]:
        field.type = Field.TYPE_ENUM if row["type"] in enums else Field.TYPE_MESSAGE
        field.type_name = f".{row['type']}"
    else:
        field.type = Field.Type.Value(f"TYPE_{row['type'].upper()}")
    if row["oneof"]:
        oneofs = [oneof.name for oneof in message.oneof_decl]
        if row["oneof"] not in oneofs:
            oneofs.append(row["oneof"])
            message.oneof_decl.add(name=row["oneof"])
        field.oneof_index = oneofs.index(row["oneof"])
