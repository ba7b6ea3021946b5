"""Bad input is refused before anything is sent, by an error that names the argument."""

from __future__ import annotations

from typing import Any

import pytest
from watch_support import connect, within

from etcd_channel import Channel, ClientClosedError, ClientError
from etcd_testing import EtcdServer
from etcd_watch import EventKind, WatchClient, Watcher, WatcherCallback

BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"key": "text"}, TypeError, r"key must be bytes, not str: use key.encode\(\) for 'text'"),
    ({"key": None}, TypeError, "key must be bytes"),
    ({"key": b""}, ValueError, "key must not be empty"),
    ({"range_end": "z"}, TypeError, "range_end must be bytes"),
    ({"range_end": b""}, ValueError, "range_end must not be empty"),
    ({"range_end": b"a"}, ValueError, "range_end must not be below"),
    ({"start_revision": -1}, ValueError, "start_revision must be at least 0, not -1"),
    ({"start_revision": 1 << 63}, ValueError, "start_revision must be at most"),
    ({"start_revision": 1.5}, TypeError, "start_revision must be an int, not float"),
    ({"start_revision": True}, TypeError, "start_revision must be an int, not bool"),
    ({"progress_notify": 2}, TypeError, "progress_notify must be a bool"),
    ({"kind": "PUT"}, TypeError, "kind must be an EventKind, not str: 'PUT'"),
    ({"kind": 0}, TypeError, "kind must be an EventKind, not int"),
    ({"prev_kv": "no"}, TypeError, "prev_kv must be a bool"),
    ({"watch_id": -1}, ValueError, "watch_id must be at least 0"),
    ({"watch_id": "1"}, TypeError, "watch_id must be an int"),
    ({"fragment": None}, TypeError, "fragment must be a bool"),
]
BAD_ONES_OF_OURS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"timeout": 0}, ValueError, "timeout must be a positive"),
    ({"timeout": "1"}, TypeError, "timeout must be a number of seconds"),
]
BAD_WAITS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"timeout": float("nan")}, ValueError, "timeout must be a positive"),
    ({"timeout": False}, TypeError, "timeout must be a number of seconds"),
    ({"timeout": "1"}, TypeError, "timeout must be a number of seconds"),
]
BAD_BOUNDS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"buffer_bytes": 0}, ValueError, "buffer_bytes must be at least 1"),
    ({"buffer_bytes": 1.5}, TypeError, "buffer_bytes must be an int"),
]


@pytest.fixture
def nowhere() -> WatchClient:
    """A client without a server; it must not try to connect."""
    return WatchClient(Channel("127.0.0.1:1"))


@pytest.mark.parametrize(("bad", "error", "words"), BAD + BAD_ONES_OF_OURS + BAD_BOUNDS)
def test_watch_refuses_it(
    nowhere: WatchClient, bad: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        _ = nowhere.watch(**{"key": b"k", **bad})


@pytest.mark.parametrize(("bad", "error", "words"), BAD + BAD_WAITS)
async def test_watch_once_refuses_it(
    nowhere: WatchClient, bad: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await nowhere.watch_once(**{"key": b"k", **bad})


@pytest.mark.parametrize(("bad", "error", "words"), BAD)
async def test_add_callback_refuses_it(
    nowhere: WatchClient, bad: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await Watcher(nowhere).add_callback(**{"key": b"k", "callback": print, **bad})


@pytest.mark.parametrize("prefix", ["text", None, 1])
async def test_a_prefix_is_bytes(nowhere: WatchClient, prefix: Any) -> None:
    with pytest.raises(TypeError, match="key_prefix must be bytes"):
        _ = nowhere.watch_prefix(prefix)
    with pytest.raises(TypeError, match="key_prefix must be bytes"):
        await nowhere.watch_prefix_once(prefix)


async def test_a_callback_can_be_called(nowhere: WatchClient) -> None:
    bad: Any = "no function"
    with pytest.raises(TypeError, match="callback must be callable, not str"):
        await Watcher(nowhere).add_callback(b"k", bad)
    with pytest.raises(TypeError, match="callback must be callable, not str"):
        WatcherCallback(bad)


def test_a_watcher_takes_a_channel_or_a_service(nowhere: WatchClient) -> None:
    bad: Any = object()
    with pytest.raises(TypeError, match="watchstub must be a Channel, a view or a service client"):
        Watcher(bad)
    with pytest.raises(ValueError, match="timeout must be a positive"):
        Watcher(nowhere, -1)


@pytest.mark.parametrize("metadata", [{"a": "b"}, [("a",)], [("a", 1)], ["ab"], "ab", 1])
def test_the_metadata_of_a_watcher_are_pairs_of_text(nowhere: WatchClient, metadata: Any) -> None:
    with pytest.raises(TypeError, match="metadata must be a sequence"):
        Watcher(nowhere, metadata=metadata)


async def test_a_watch_id_in_use_is_refused(etcd_endpoint: str, key_prefix: bytes) -> None:
    async with connect(etcd_endpoint) as (client, _, _):
        async with client.watch(key_prefix, watch_id=3):
            with pytest.raises(ValueError, match="watch_id 3 is in use"):
                _ = await client.watch(key_prefix, watch_id=3)
            with pytest.raises(ValueError, match="watch_id 3 is in use"):
                await client.watch_once(key_prefix, watch_id=3)
        await (await client.watch(key_prefix, watch_id=3)).cancel()


async def test_an_empty_range_is_refused_by_the_server(
    etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with connect(etcd_endpoint) as (client, _, _):
        with pytest.raises(ClientError, match="watcher range is empty"):
            _ = await client.watch(key_prefix, range_end=key_prefix)


async def test_a_watch_on_a_closed_channel_raises_client_closed_error(
    etcd_server: EtcdServer,
) -> None:
    async with connect(etcd_server.endpoint) as (client, _, _):
        watch = client.watch(b"k")
    with pytest.raises(ClientClosedError):
        _ = await within(watch)
    with pytest.raises(ClientClosedError):
        await within(client.watch_once(b"k"))
    with pytest.raises(ClientClosedError):
        async for _ in client.watch(b"k", kind=EventKind.PUT):
            pass
    with pytest.raises(ClientClosedError):
        await Watcher(client).add_callback(b"k", print)
