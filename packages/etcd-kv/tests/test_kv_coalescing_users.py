"""Coalesced calls of a user whom the server does not accept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from kv_coalescing_support import Recorder
from kv_support import server_with_users

from etcd_channel import Channel
from etcd_channel.errors import AuthFailedError
from etcd_kv import KVClient
from etcd_testing import EtcdServer

WRONG = "not the password"


@pytest.fixture(scope="module")
def guarded_server() -> Iterator[EtcdServer]:
    with server_with_users({"writer": "readwrite"}) as server:
        yield server


@pytest.mark.parametrize("name", ["put", "delete"])
async def test_a_wrong_password_is_not_tried_for_each_call_of_a_batch(
    guarded_server: EtcdServer, name: str
) -> None:
    keys = [b"open/%d" % number for number in range(100)]
    arguments = (b"value",) if name == "put" else ()
    channel = Channel(guarded_server.endpoint, username="writer", password=WRONG)
    try:
        with pytest.raises(AuthFailedError) as alone:
            await getattr(KVClient(channel), name)(keys[0], *arguments)
        sent = Recorder(channel)
        shared = KVClient(sent).coalescing()
        errors = await asyncio.gather(
            *(getattr(shared, name)(key, *arguments) for key in keys), return_exceptions=True
        )
    finally:
        await channel.close()
    assert len({id(error) for error in errors}) == len(keys)
    for error in errors:
        assert isinstance(error, AuthFailedError)
        assert error.definite
        assert (error.method, str(error)) == (alone.value.method, str(alone.value))
        assert WRONG not in repr(error)
    # The first one is sent at once, and alone.
    assert sent.calls[1:] == ["KV.Txn"]
