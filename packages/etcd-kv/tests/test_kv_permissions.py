"""Authentication on a real server: missing permissions, and unknown users."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from kv_support import PASSWORD, server_with_users

from etcd_channel import Channel, RevisionCompactedError
from etcd_channel.errors import (
    AuthFailedError,
    EmptyUserNameError,
    InvalidArgumentError,
    PermissionDeniedError,
)
from etcd_kv import KVClient
from etcd_testing import EtcdServer


@pytest.fixture(scope="module")
def guarded_server() -> Iterator[EtcdServer]:
    """A server whose user reader may read the keys below "open/", and writer also write them."""
    with server_with_users({"reader": "read", "writer": "readwrite"}) as server:
        yield server


@pytest.fixture
async def reader(guarded_server: EtcdServer) -> AsyncIterator[KVClient]:
    async with Channel(guarded_server.endpoint, username="reader", password=PASSWORD) as channel:
        yield KVClient(channel)


@pytest.fixture
async def writer(guarded_server: EtcdServer) -> AsyncIterator[KVClient]:
    async with Channel(guarded_server.endpoint, username="writer", password=PASSWORD) as channel:
        yield KVClient(channel)


async def test_a_user_reads_and_writes_within_its_permissions(
    reader: KVClient, writer: KVClient
) -> None:
    await writer.put(b"open/key", b"value")
    got = await reader.get(b"open/key")
    assert got is not None
    assert got.value == b"value"
    assert len(await reader.get_prefix(b"open/key")) == 1


async def test_a_user_is_refused_beyond_its_permissions(reader: KVClient) -> None:
    txn = reader.transactions
    for forbidden in (
        reader.get(b"closed/key"),
        reader.get_prefix(b"closed/"),
        reader.get_range(b"open/", b"p"),
        reader.get_all(),
        reader.put(b"open/key", b"value"),
        reader.delete(b"open/key"),
        reader.delete_prefix(b"open/"),
        reader.delete_range(b"open/", b"open0"),
        reader.replace(b"open/key", b"", b"value"),
        reader.transaction([], [txn.put(b"open/key", b"value")]),
        reader.transaction([txn.version(b"closed/key") == 0]),
    ):
        with pytest.raises(PermissionDeniedError, match="permission denied") as caught:
            await forbidden
        assert caught.value.definite
        assert caught.value.code is not None
        assert caught.value.code.name == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("username", "password"),
    [("reader", "another password"), ("unreachable_kv", PASSWORD), ("reader", "")],
)
async def test_an_unknown_user_is_refused(
    guarded_server: EtcdServer, username: str, password: str
) -> None:
    channel = Channel(guarded_server.endpoint, username=username, password=password)
    try:
        with pytest.raises(AuthFailedError) as caught:
            await KVClient(channel).get(b"open/key")
    finally:
        await channel.close()
    assert isinstance(caught.value, InvalidArgumentError)
    assert caught.value.definite
    for shown in (str(caught.value), repr(caught.value), repr(channel)):
        assert PASSWORD not in shown
        assert "another password" not in shown


async def test_a_caller_without_a_user_name_is_refused(guarded_server: EtcdServer) -> None:
    async with Channel(guarded_server.endpoint) as channel:
        kv = KVClient(channel)
        for call in (kv.get(b"open/key"), kv.put(b"open/key", b"value")):
            with pytest.raises(EmptyUserNameError) as caught:
                await call
            assert caught.value.definite


async def test_a_user_with_few_permissions_gets_the_compacted_revision(
    reader: KVClient, writer: KVClient, guarded_server: EtcdServer
) -> None:
    old = (await writer.put(b"open/history", b"old")).header.revision
    new = (await writer.put(b"open/history", b"new")).header.revision
    # As root, because later releases of etcd permit only root to compact.
    await guarded_server.etcdctl("compact", str(new))
    for read in (
        reader.get(b"open/history", revision=old),
        reader.get_prefix(b"open/", revision=old),
        reader.transaction([], [reader.transactions.get(b"open/history", revision=old)]),
    ):
        with pytest.raises(RevisionCompactedError) as caught:
            await read
        assert caught.value.compacted_revision == new
