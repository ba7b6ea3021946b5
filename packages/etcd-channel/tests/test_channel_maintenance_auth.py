"""etcd's maintenance service refuses users with messages that have no status code."""

from __future__ import annotations

import pytest
from google.protobuf.empty_pb2 import Empty

from etcd_channel import Channel, Rpc
from etcd_channel.errors import EmptyUserNameError, PermissionDeniedError
from etcd_testing import EtcdServer

HASH = Rpc("/etcdserverpb.Maintenance/Hash", Empty, Empty, repeatable=True)
DEFRAGMENT = Rpc("/etcdserverpb.Maintenance/Defragment", Empty, Empty, unbounded=True)


async def test_a_user_that_may_not_maintain_a_member_gets_an_error() -> None:
    async with EtcdServer() as server:
        await server.etcdctl("user", "add", "joe:secret")
        await server.enable_auth("secret")
        async with Channel(server.endpoint, username="joe", password="secret") as channel:
            with pytest.raises(PermissionDeniedError) as denied:
                await channel.call(DEFRAGMENT, Empty())
        assert denied.value.definite
        async with Channel(server.endpoint) as channel:
            with pytest.raises(EmptyUserNameError):
                await channel.call(DEFRAGMENT, Empty())


async def test_a_lost_token_is_renewed_for_the_maintenance_service() -> None:
    async with EtcdServer() as server:
        await server.enable_auth("secret")
        async with Channel(server.endpoint, username="root", password="secret") as channel:
            await channel.call(HASH, Empty())
            await server.restart()
            await channel.call(HASH, Empty())
            await server.restart()
            await channel.call(DEFRAGMENT, Empty())
