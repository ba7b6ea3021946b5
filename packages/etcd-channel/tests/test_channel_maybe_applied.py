"""A call is not definite if one of its attempts may have been applied, whatever the others did."""

from __future__ import annotations

import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import Int64Value

from etcd_channel import Channel, ClientError, Rpc
from etcd_channel.errors import LeaseNotFoundError
from etcd_testing import EtcdServer, FaultProxy

# On the wire a Timestamp is a grant (TTL and ID), an Int64Value a revocation (ID).
GRANT = Rpc("/etcdserverpb.Lease/LeaseGrant", Timestamp, Empty)
REVOKE = Rpc("/etcdserverpb.Lease/LeaseRevoke", Int64Value, Empty, repeatable=True)


async def test_a_refused_retry_does_not_make_the_error_definite() -> None:
    async with EtcdServer() as server, FaultProxy(server.endpoint) as proxy:
        async with Channel(proxy.endpoint) as channel:
            await channel.call(GRANT, Timestamp(seconds=60, nanos=4711))
            killed = proxy.kill_next_reply()
            with pytest.raises(LeaseNotFoundError) as raised:
                await channel.call(REVOKE, Int64Value(value=4711))
            assert killed.done()
            assert not raised.value.definite

            with pytest.raises(LeaseNotFoundError) as raised:
                await channel.call(REVOKE, Int64Value(value=4711))
            assert raised.value.definite


async def test_a_failed_reconnect_does_not_make_the_error_definite() -> None:
    async with EtcdServer() as server, FaultProxy(server.endpoint) as proxy:
        async with Channel(proxy.endpoint) as channel:
            await channel.call(GRANT, Timestamp(seconds=60, nanos=4711))
            proxy.refuse()
            killed = proxy.kill_next_reply()
            with pytest.raises(ClientError) as raised:
                await channel.call(REVOKE, Int64Value(value=4711))
            assert killed.done()
            assert not raised.value.definite
