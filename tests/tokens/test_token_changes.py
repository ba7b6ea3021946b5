"""Calls during more changes of users than a real server can be made to report."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from etcd_channel import Channel, errors
from etcd_channel.pb import common_pb2
from etcd_channel.rpcs import AUTHENTICATE
from etcd_kv import KVClient
from etcd_kv.pb import kv_pb2
from etcd_kv.rpcs import PUT
from etcd_testing.played import PlayedEtcd

Context = grpc.aio.ServicerContext[Any, Any]

OLD = (grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: revision of auth store is old")
UNKNOWN = (grpc.StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token")


class Changing:
    """Refuses a number of puts, each with a token that it has just made."""

    def __init__(self) -> None:
        self.refusal = OLD
        self.refusals = 0
        self.puts = self.tokens = 0

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
    async with PlayedEtcd({PUT: users.put, AUTHENTICATE: users.authenticate}) as server:
        yield server.endpoint


async def test_a_call_survives_many_changes(users: Changing, endpoint: str) -> None:
    """Each attempt has a token that was made after the refusal of the one before."""
    users.refusals = 8
    async with Channel(endpoint, username="alice", password="secret") as channel:
        await KVClient(channel).put(b"key", b"value")
    assert (users.puts, users.tokens) == (9, 9)


async def test_a_call_of_a_user_with_a_certificate_survives_many_changes(
    users: Changing, endpoint: str
) -> None:
    """The channel has no user name and no password then."""
    users.refusals = 8
    async with Channel(endpoint) as channel:
        await KVClient(channel).put(b"key", b"value")
    assert (users.puts, users.tokens) == (9, 0)


async def test_the_number_of_token_requests_is_limited(users: Changing, endpoint: str) -> None:
    users.refusal = UNKNOWN
    users.refusals = 1000
    async with Channel(endpoint, username="alice", password="secret") as channel:
        with pytest.raises(errors.InvalidAuthTokenError) as raised:
            await KVClient(channel).put(b"key", b"value")
    assert raised.value.definite
    assert users.puts == users.tokens < 10


async def test_a_refused_token_is_not_renewed_without_a_user_name(
    users: Changing, endpoint: str
) -> None:
    """There is no password to get another one with."""
    users.refusal = UNKNOWN
    users.refusals = 1000
    async with Channel(endpoint) as channel:
        with pytest.raises(errors.InvalidAuthTokenError):
            await KVClient(channel).put(b"key", b"value")
    assert users.puts == 1
