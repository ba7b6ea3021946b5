"""A call in whose course the users change more often than any real server can be made to tell."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest

from etcd_channel import Channel, errors
from etcd_channel.pb import common_pb2
from etcd_channel.rpcs import AUTHENTICATE
from etcd_kv import KVClient
from etcd_kv.pb import kv_pb2
from etcd_kv.rpcs import PUT

Context = grpc.aio.ServicerContext[Any, Any]

OLD = (grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: revision of auth store is old")
UNKNOWN = (grpc.StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token")


class Changing(grpc.GenericRpcHandler):
    """Refuses so many puts, each time with a token that it has just made."""

    def __init__(self) -> None:
        self.refusal = OLD
        self.refusals = 0
        self.puts = self.tokens = 0

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        rpcs: dict[str, tuple[Any, Callable[[Any, Context], Any]]] = {
            PUT.path: (PUT, self.put),
            AUTHENTICATE.path: (AUTHENTICATE, self.authenticate),
        }
        if details.method not in rpcs:
            return None
        rpc, answer = rpcs[details.method]
        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=rpc.request.FromString,
            response_serializer=rpc.response.SerializeToString,
        )

    async def put(self, request: kv_pb2.PutRequest, context: Context) -> kv_pb2.PutResponse:
        self.puts += 1
        if self.puts <= self.refusals:
            await context.abort(*self.refusal)
        return kv_pb2.PutResponse()

    async def authenticate(
        self, request: common_pb2.AuthenticateRequest, context: Context
    ) -> common_pb2.AuthenticateResponse:
        self.tokens += 1
        return common_pb2.AuthenticateResponse(token=f"token {self.tokens}")


@pytest.fixture
def users() -> Changing:
    return Changing()


@pytest.fixture
async def endpoint(users: Changing) -> AsyncIterator[str]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((users,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def test_a_call_bears_with_many_changes(users: Changing, endpoint: str) -> None:
    """Each sending goes with a token that was made after the refusal before it."""
    users.refusals = 8
    async with Channel(endpoint, username="alice", password="secret") as channel:
        await KVClient(channel).put(b"key", b"value")
    assert (users.puts, users.tokens) == (9, 9)


async def test_a_user_known_by_certificate_bears_with_them_too(
    users: Changing, endpoint: str
) -> None:
    """To the channel it is one without name and password."""
    users.refusals = 8
    async with Channel(endpoint) as channel:
        await KVClient(channel).put(b"key", b"value")
    assert (users.puts, users.tokens) == (9, 0)


async def test_a_server_that_knows_none_of_its_own_tokens_is_not_asked_for_ever(
    users: Changing, endpoint: str
) -> None:
    users.refusal = UNKNOWN
    users.refusals = 1000
    async with Channel(endpoint, username="alice", password="secret") as channel:
        with pytest.raises(errors.InvalidAuthTokenError) as raised:
            await KVClient(channel).put(b"key", b"value")
    assert raised.value.definite
    assert users.puts == users.tokens < 10


async def test_a_token_that_nobody_asked_for_is_no_matter_of_renewal(
    users: Changing, endpoint: str
) -> None:
    """Without a name there is nothing to renew."""
    users.refusal = UNKNOWN
    users.refusals = 1000
    async with Channel(endpoint) as channel:
        with pytest.raises(errors.InvalidAuthTokenError):
            await KVClient(channel).put(b"key", b"value")
    assert users.puts == 1
