"""The rows of all RPCs say where their messages have keys."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from etcd_channel import KeyFields, Rpc

PACKAGES = ("kv", "watch", "lease", "lock", "cluster", "auth")
NOT_IN_A_NAMESPACE = {"cluster", "auth"}
"""Packages whose calls have no keys, or whose keys are those of the whole store."""
OTHER_BYTES = {"value"}
"""Fields of bytes that are no keys."""


def rpcs(*packages: str) -> list[Rpc[Any, Any]]:
    modules = [importlib.import_module(f"etcd_{package}.rpcs") for package in packages]
    return [getattr(module, name) for module in modules for name in module.__all__]


INSIDE = rpcs(*(package for package in PACKAGES if package not in NOT_IN_A_NAMESPACE))
MESSAGES = [
    pytest.param(kind.DESCRIPTOR, fields, id=f"{rpc.name} {kind.__name__}")
    for rpc in INSIDE
    if rpc.keys is not None
    for kind, fields in ((rpc.request, rpc.keys.request), (rpc.response, rpc.keys.response))
]


def bytes_fields(message: Descriptor, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """The paths of the fields that may have keys, each class of messages once on a path."""
    for field in message.fields:
        if field.type == FieldDescriptor.TYPE_BYTES and field.name not in OTHER_BYTES:
            yield field.name
        inner = field.message_type
        if inner is not None and inner.full_name not in seen:
            for path in bytes_fields(inner, seen | {message.full_name}):
                yield f"{field.name}.{path}"


def described(
    message: Descriptor, fields: KeyFields, seen: frozenset[str] = frozenset()
) -> Iterator[str]:
    yield from fields.names
    if fields.range_end:
        yield fields.range_end
    for name, inner in fields.within.items():
        kind = message.fields_by_name[name].message_type
        assert kind is not None, name
        if kind.full_name not in seen:
            for path in described(kind, inner, seen | {message.full_name}):
                yield f"{name}.{path}"


def test_an_rpc_is_in_a_namespace_unless_it_concerns_the_cluster_or_users() -> None:
    assert [rpc.name for rpc in INSIDE if rpc.keys is None] == []
    assert [rpc.name for rpc in rpcs(*NOT_IN_A_NAMESPACE) if rpc.keys is not None] == []


@pytest.mark.parametrize(("message", "fields"), MESSAGES)
def test_a_row_names_every_key_of_its_messages(
    message: Descriptor, fields: KeyFields | None
) -> None:
    told = sorted(described(message, fields)) if fields is not None else []
    assert told == sorted(bytes_fields(message))


@pytest.mark.parametrize(("message", "fields"), MESSAGES)
def test_a_transaction_in_a_transaction_has_its_keys_described_too(
    message: Descriptor, fields: KeyFields | None
) -> None:
    """The test above does not follow a message into itself."""
    made: dict[tuple[str, KeyFields], bool] = {}

    def follow(message: Descriptor, fields: KeyFields) -> None:
        if made.setdefault((message.full_name, fields), False):
            return
        made[message.full_name, fields] = True
        for name, inner in fields.within.items():
            kind = message.fields_by_name[name].message_type
            assert kind is not None, name
            follow(kind, inner)

    if fields is not None:
        follow(message, fields)
    by_message = [name for name, _ in made]
    # The key of a leadership is described with its name, any other message in one way.
    assert len(by_message) == len(set(by_message))
    if message.name in {"TxnRequest", "TxnResponse"}:
        inner = {name for name, _ in made}
        assert {f"etcd.kv.{message.name}"} <= inner
        operation = "request_txn" if message.name == "TxnRequest" else "response_txn"
        assert any(operation in fields.within for _, fields in made)


def test_a_key_that_a_row_forgets_is_noticed() -> None:
    (txn,) = (rpc for rpc in INSIDE if rpc.name == "KV.Txn")
    found = set(bytes_fields(txn.request.DESCRIPTOR))
    assert {"compare.key", "compare.range_end", "success.request_put.key"} <= found
    assert "failure.request_delete_range.range_end" in found
