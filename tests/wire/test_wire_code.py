"""Generated code can be imported alone, uses names of its own and has the right bytes."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from etcd_channel.pb import common_pb2
from etcd_kv.pb import kv_pb2
from etcd_watch.pb import watch_pb2

PROTOS = Path(__file__).parents[2] / "protos"
FILES = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))
# etcd_kv/pb/kv.proto has the proto package etcd.kv.
PACKAGES = {file: f"etcd.{Path(file).stem}" for file in FILES}


def module_name(file: str) -> str:
    return file.removesuffix(".proto").replace("/", ".") + "_pb2"


@pytest.mark.parametrize("file", FILES)
def test_each_module_can_be_imported_alone_and_without_warnings(file: str) -> None:
    command = [sys.executable, "-c", f"import {module_name(file)}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("file", FILES)
def test_generated_code_requires_no_version_of_protobuf(file: str) -> None:
    """Since version 26 protoc writes a check that refuses older versions of the runtime."""
    spec = importlib.util.find_spec(module_name(file))
    assert spec is not None
    assert spec.origin is not None
    code = Path(spec.origin).read_text(encoding="utf-8")
    assert "# Protobuf Python Version: 4.25" in code
    assert "runtime_version" not in code.lower()


def test_every_file_has_this_clients_own_name_and_proto_package() -> None:
    """Names of files and messages are unique in a process, and other clients use etcd's."""
    descriptors = [importlib.import_module(module_name(file)).DESCRIPTOR for file in FILES]
    assert {descriptor.name: descriptor.package for descriptor in descriptors} == PACKAGES
    for descriptor in descriptors:
        assert {dependency.name for dependency in descriptor.dependencies} <= PACKAGES.keys()


@pytest.mark.parametrize(
    ("message", "data"),
    [
        pytest.param(
            kv_pb2.Compare(
                result=kv_pb2.Compare.GREATER,
                target=kv_pb2.Compare.MOD,
                key=b"k",
                mod_revision=7,
                range_end=b"l",
            ),
            # 64 << 3 | 2 is 514: a tag of two bytes.
            b"\x08\x01" + b"\x10\x02" + b"\x1a\x01k" + b"\x30\x07" + b"\x82\x04\x01l",
            id="Compare, range_end is field 64",
        ),
        pytest.param(
            watch_pb2.WatchResponse(
                watch_id=-1,
                canceled=True,
                events=[
                    watch_pb2.Event(type=watch_pb2.Event.DELETE, kv=common_pb2.KeyValue(key=b"k"))
                ],
            ),
            b"\x10" + b"\xff" * 9 + b"\x01" + b"\x20\x01" + b"\x5a\x07\x08\x01\x12\x03\x0a\x01k",
            id="WatchResponse, watch_id -1, events are field 11",
        ),
        pytest.param(
            common_pb2.ResponseHeader(cluster_id=2**64 - 1, revision=300),
            b"\x08" + b"\xff" * 9 + b"\x01" + b"\x18\xac\x02",
            id="ResponseHeader, cluster_id has 64 bits without a sign",
        ),
    ],
)
def test_messages_have_etcds_wire_format(message: Any, data: bytes) -> None:
    assert message.SerializeToString() == data
    assert type(message).FromString(data) == message
