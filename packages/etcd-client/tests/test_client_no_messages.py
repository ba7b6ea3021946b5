"""No result of the client is or contains a protobuf message."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from google.protobuf.message import Message

from etcd_client import Client, Event
from etcd_client.errors import UnsupportedByServerError
from etcd_kv.pb import kv_pb2
from etcd_watch import Watcher

# Types without further contents.
PLAIN = (str, bytes, int, float, bool, type(None), BaseException)


def reached(value: object, path: str) -> Iterator[tuple[str, object]]:
    """Return everything that is reachable by public attributes and by iteration."""
    yield path, value
    if isinstance(value, (*PLAIN, Client)):
        return
    for name in dir(type(value)):
        if name.startswith("_"):
            continue
        try:
            inner = getattr(value, name)
        except Exception:
            continue
        if not callable(inner):
            yield from reached(inner, f"{path}.{name}")
    if isinstance(value, Iterable) and not isinstance(value, Message):
        items = value.values() if isinstance(value, dict) else value
        for number, item in enumerate(items):
            yield from reached(item, f"{path}[{number}]")


def assert_no_message(name: str, result: object) -> None:
    found = [path for path, value in reached(result, name) if isinstance(value, Message)]
    assert not found


async def test_the_key_value_results_hold_no_message(client: Client, key_prefix: bytes) -> None:
    key, ops = key_prefix + b"k", client.transactions
    await client.put(key, b"1")
    results: list[tuple[str, Any]] = [
        ("put", await client.put(key, b"2", prev_kv=True)),
        ("get", await client.get(key)),
        ("get_prefix", await client.get_prefix(key_prefix)),
        ("scan_prefix", [kv async for kv in client.scan_prefix(key_prefix)]),
    ]
    every = [
        ops.get(key),
        ops.put(key_prefix + b"p", b"v", prev_kv=True),
        ops.delete(key, prev_kv=True),
        ops.txn([], [ops.get(key), ops.put(key_prefix + b"n", b"v"), ops.txn([], [])]),
    ]
    results += [
        ("transaction", await client.transaction([ops.version(key) > 0], every)),
        ("delete", await client.delete(key_prefix + b"p", prev_kv=True)),
        ("delete_prefix", await client.delete_prefix(key_prefix, prev_kv=True)),
    ]
    for name, result in results:
        assert result
        assert_no_message(name, result)


async def test_the_events_hold_no_message(client: Client, key_prefix: bytes) -> None:
    first = (await client.put(key_prefix, b"1")).header.revision
    await client.delete(key_prefix)
    events: list[Event | Exception] = []
    watcher = Watcher(client)
    async with client.watch(key_prefix, start_revision=first, prev_kv=True) as watch:
        callback = await watcher.add_callback(key_prefix, events.append, start_revision=first)
        assert_no_message("event", await anext(aiter(watch)))
        assert_no_message("response", await anext(watch.responses()))
        assert_no_message("watch", watch.watch_id)
    assert_no_message("once", await client.watch_once(key_prefix, start_revision=first))
    assert_no_message("callback", callback.error)
    await watcher.shutdown()
    assert_no_message("events", events)


async def test_the_other_results_hold_no_message(client: Client, key_prefix: bytes) -> None:
    lease = await client.lease(60)
    results: list[tuple[str, Any]] = [
        ("lease_info", await client.get_lease_info(lease.id)),
        ("refresh", await client.refresh_lease(lease.id)),
        ("members", await client.members()),
        ("status", await client.status()),
        ("hash_kv", await client.hash_kv()),
        ("alarms", await client.list_alarms()),
        ("leader", await client.server_campaign(key_prefix, b"v", lease)),
        ("server_leader", await client.server_leader(key_prefix)),
    ]
    with contextlib.suppress(UnsupportedByServerError):  # it is there from etcd 3.5 on
        results.append(("auth_status", await client.auth_status()))
    await client.revoke_lease(lease.id)
    for name, result in results:
        assert_no_message(name, result)


def test_the_compares_and_operations_show_no_message() -> None:
    ops = Client.transactions
    assert_no_message("compare", ops.value(b"k") == b"v")
    assert_no_message("put", ops.put(b"k", b"v"))
    assert_no_message("txn", ops.txn([], [ops.get(b"k")]))


def test_the_search_finds_a_message() -> None:
    with pytest.raises(AssertionError):
        assert_no_message("list", [{"a": kv_pb2.PutResponse()}])
