"""Authentication on a real server: what a user may not do, and who is no user."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from etcd_channel import Channel, RevisionCompactedError
from etcd_channel.errors import (
    AuthFailedError,
    EmptyUserNameError,
    InvalidArgumentError,
    PermissionDeniedError,
)
from etcd_kv import KVClient
from etcd_testing import EtcdServer

SECRET = "a password of its own"


@pytest.fixture(scope="module")
def guarded_server() -> Iterator[EtcdServer]:
    """A server where reader may read what begins with "open/" and writer write there too."""
    server = EtcdServer()

    async def start() -> None:
        await server.start()
        for name, permission in (("reader", "read"), ("writer", "readwrite")):
            await server.etcdctl("user", "add", f"{name}:{SECRET}")
            await server.etcdctl("role", "add", name)
            await server.etcdctl(
                "role", "grant-permission", "--prefix=true", name, permission, "open/"
            )
            await server.etcdctl("user", "grant-role", name, name)
        await server.enable_auth("root")

    asyncio.run(start())
    yield server
    asyncio.run(server.close())


@pytest.fixture
async def reader(guarded_server: EtcdServer) -> AsyncIterator[KVClient]:
    async with Channel(guarded_server.endpoint, username="reader", password=SECRET) as channel:
        yield KVClient(channel)


@pytest.fixture
async def writer(guarded_server: EtcdServer) -> AsyncIterator[KVClient]:
    async with Channel(guarded_server.endpoint, username="writer", password=SECRET) as channel:
        yield KVClient(channel)


async def test_a_user_does_what_it_may(reader: KVClient, writer: KVClient) -> None:
    await writer.put(b"open/key", b"value")
    got = await reader.get(b"open/key")
    assert got is not None
    assert got.value == b"value"
    assert len(await reader.get_prefix(b"open/key")) == 1


async def test_a_user_may_not_do_more(reader: KVClient) -> None:
    words = reader.transactions
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
        reader.transaction([], [words.put(b"open/key", b"value")]),
        reader.transaction([words.version(b"closed/key") == 0]),
    ):
        with pytest.raises(PermissionDeniedError, match="permission denied") as caught:
            await forbidden
        assert caught.value.definite
        assert caught.value.code is not None
        assert caught.value.code.name == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("username", "password"), [("reader", "another password"), ("nobody", SECRET), ("reader", "")]
)
async def test_who_is_no_user_gets_nowhere(
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
        assert SECRET not in shown
        assert "another password" not in shown


async def test_who_gives_no_name_gets_nowhere(guarded_server: EtcdServer) -> None:
    async with Channel(guarded_server.endpoint) as channel:
        kv = KVClient(channel)
        for call in (kv.get(b"open/key"), kv.put(b"open/key", b"value")):
            with pytest.raises(EmptyUserNameError) as caught:
                await call
            assert caught.value.definite


async def test_history_that_is_gone_is_told_of_to_a_user_who_reads_little(
    reader: KVClient, writer: KVClient, guarded_server: EtcdServer
) -> None:
    old = (await writer.put(b"open/history", b"old")).header.revision
    new = (await writer.put(b"open/history", b"new")).header.revision
    # As root: later releases of etcd let nobody else.
    await guarded_server.etcdctl("compact", str(new))
    for read in (
        reader.get(b"open/history", revision=old),
        reader.get_prefix(b"open/", revision=old),
        reader.transaction([], [reader.transactions.get(b"open/history", revision=old)]),
    ):
        with pytest.raises(RevisionCompactedError) as caught:
            await read
        assert caught.value.compacted_revision == new
