"""The token of a user: fetched once, renewed when the server refuses it, never on a timer."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeAlias

import grpc
import pytest
from channel_support import HANG, PUT, RANGE, SNAPSHOT, WATCH

from etcd_channel import Channel, ClientError, ConnectionTimeoutError, errors
from etcd_channel.pb import common_pb2 as pb
from etcd_channel.rpcs import AUTHENTICATE
from etcd_testing import EtcdServer
from etcd_testing.played import PlayedEtcd, messages

PASSWORD = "correct-horse-battery"
GET = messages.RangeRequest(key=b"k")


@pytest.fixture
async def server() -> AsyncIterator[EtcdServer]:
    """A server with authentication, where the user joe has all permissions."""
    async with EtcdServer() as server:
        await _with_joe(server)
        yield server


async def _with_joe(server: EtcdServer) -> None:
    await server.etcdctl("user", "add", f"joe:{PASSWORD}")
    await server.etcdctl("role", "add", "all")
    await server.etcdctl("role", "grant-permission", "all", "readwrite", "--prefix", "")
    await server.etcdctl("user", "grant-role", "joe", "all")
    await server.enable_auth("of root")


def joe(server: EtcdServer, **other: Any) -> Channel:
    return Channel(server.endpoint, username="joe", password=PASSWORD, **other)


async def authentications(server: EtcdServer) -> int:
    """Return how often the server was asked for a token since its last start."""
    metrics = await server.metrics()
    return int(
        sum(
            value
            for name, value in metrics.items()
            if name.startswith("grpc_server_handled_total{") and '"Authenticate"' in name
        )
    )


async def test_a_token_is_fetched_once_and_used_for_all_calls(server: EtcdServer) -> None:
    before = await authentications(server)
    async with joe(server) as channel:
        assert channel.username == "joe"
        for _ in range(5):
            await channel.call(PUT, messages.PutRequest(key=b"k"))
            await channel.call(RANGE, GET)
    assert await authentications(server) - before == 1


async def test_many_concurrent_first_calls_fetch_one_token(server: EtcdServer) -> None:
    before = await authentications(server)
    channel = joe(server)
    await asyncio.gather(*(channel.call(RANGE, GET) for _ in range(64)))
    await channel.close()
    assert await authentications(server) - before == 1


async def test_a_wrong_password_is_tried_once_for_a_call(server: EtcdServer) -> None:
    before = await authentications(server)
    channel = Channel(server.endpoint, username="joe", password="wrong")
    for work in (channel.call(PUT, messages.PutRequest(key=b"k")), channel.connect()):
        with pytest.raises(errors.AuthFailedError) as caught:
            await work
        assert caught.value.definite
    assert await authentications(server) - before == 2
    # Many concurrent calls authenticate no more often.
    calls = [channel.call(RANGE, GET) for _ in range(64)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {errors.AuthFailedError}
    assert await authentications(server) - before == 3
    await channel.close()


async def test_a_user_that_does_not_exist_is_a_failed_authentication(server: EtcdServer) -> None:
    with pytest.raises(errors.AuthFailedError):
        async with Channel(server.endpoint, username="nobody", password=PASSWORD):
            pytest.fail("the body runs as nobody")


async def test_a_call_without_a_user_is_refused(server: EtcdServer) -> None:
    before = await authentications(server)
    async with Channel(server.endpoint) as channel:
        assert channel.username is None
        with pytest.raises(errors.EmptyUserNameError) as caught:
            await channel.call(PUT, messages.PutRequest(key=b"k"))
        assert caught.value.definite
    assert await authentications(server) == before


async def test_a_user_without_the_permission_is_refused(server: EtcdServer) -> None:
    await server.etcdctl("user", "add", f"ann:{PASSWORD}")
    async with Channel(server.endpoint, username="ann", password=PASSWORD) as channel:
        with pytest.raises(errors.PermissionDeniedError) as caught:
            await channel.call(PUT, messages.PutRequest(key=b"k"))
        assert caught.value.definite


async def test_a_user_on_a_server_without_authentication_is_no_error() -> None:
    async with EtcdServer() as server:
        async with joe(server) as channel:
            await channel.call(PUT, messages.PutRequest(key=b"k"))
            asked = await authentications(server)
            await channel.call(PUT, messages.PutRequest(key=b"k"))
            assert await authentications(server) == asked == 1
            # If authentication is enabled later, the user is authenticated.
            await _with_joe(server)
            await channel.call(PUT, messages.PutRequest(key=b"k"))
            assert (await channel.call(RANGE, GET)).kvs[0].version == 3


# What makes a token old ----------------------------------------------------------------


async def test_calls_survive_a_restart_that_invalidates_all_tokens(server: EtcdServer) -> None:
    async with joe(server) as channel:
        await channel.call(PUT, messages.PutRequest(key=b"k"))
        await server.restart()
        await channel.call(PUT, messages.PutRequest(key=b"k"))
        assert await authentications(server) == 1
        assert (await channel.call(RANGE, GET)).kvs[0].version == 2


async def test_many_calls_with_an_invalid_token_fetch_one_token(server: EtcdServer) -> None:
    async with joe(server) as channel:
        await channel.call(PUT, messages.PutRequest(key=b"k"))
        await server.restart()
        put = messages.PutRequest(key=b"k")
        await asyncio.gather(*(channel.call(PUT, put) for _ in range(64)))
        assert await authentications(server) == 1
        assert (await channel.call(RANGE, GET)).kvs[0].version == 65


async def test_a_token_that_expires_is_renewed() -> None:
    async with EtcdServer(auth_token_ttl=1) as server:
        await _with_joe(server)
        async with joe(server) as channel:
            await channel.call(PUT, messages.PutRequest(key=b"k"))
            asked = await authentications(server)
            # An old token is told from a new one by the server alone: so it is asked, apart
            # from the channel, until it has forgotten the one that it made first.
            await asyncio.wait_for(_expiry(server, channel), HANG)
            await channel.call(PUT, messages.PutRequest(key=b"k"))
            assert await authentications(server) > asked
            assert (await channel.call(RANGE, GET)).kvs[0].version == 2


Raw: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"


async def _expiry(server: EtcdServer, channel: Channel) -> None:
    async with grpc.aio.insecure_channel(server.endpoint) as raw:
        ask: Raw = raw.unary_unary(AUTHENTICATE.path)
        request = pb.AuthenticateRequest(name="joe", password=PASSWORD)
        answer = pb.AuthenticateResponse.FromString(await ask(request.SerializeToString()))
        get: Raw = raw.unary_unary(RANGE.path)
        while True:
            # Longer than the token's time to live, which each use extends.
            await asyncio.sleep(2.5)
            try:
                await get(GET.SerializeToString(), metadata=(("token", answer.token),))
            except grpc.aio.AioRpcError:
                return


async def test_a_token_that_a_new_user_makes_outdated_is_renewed() -> None:
    """A JWT token contains the revision of the users at which it was issued."""
    async with EtcdServer(auth_token="jwt") as server:
        await _with_joe(server)
        async with joe(server) as channel:
            put = messages.PutRequest(key=b"k")
            await channel.call(PUT, put)
            for number in range(3):
                await server.etcdctl("user", "add", f"user{number}:word")
                before = await authentications(server)
                await asyncio.gather(*(channel.call(PUT, put) for _ in range(64)))
                assert await authentications(server) - before == 1
            assert (await channel.call(RANGE, GET)).kvs[0].version == 1 + 3 * 64


async def test_a_jwt_token_that_expires_is_renewed() -> None:
    async with EtcdServer(auth_token="jwt", auth_token_ttl=1) as server:
        await _with_joe(server)
        async with joe(server) as channel:
            await channel.call(PUT, messages.PutRequest(key=b"k"))
            asked = await authentications(server)
            await asyncio.sleep(2.5)  # a JWT token contains its expiry
            await channel.call(PUT, messages.PutRequest(key=b"k"))
            # More than once, if the next token expired on its way too.
            assert await authentications(server) > asked
            assert (await channel.call(RANGE, GET)).kvs[0].version == 2


async def test_a_changed_password_is_used_after_use_password(server: EtcdServer) -> None:
    async with joe(server) as channel:
        await channel.call(RANGE, GET)
        await server.etcdctl("user", "passwd", "joe", "--interactive=false", stdin="staple")
        with pytest.raises(errors.AuthFailedError):
            await channel.call(RANGE, GET)
        channel.use_password("staple")
        await channel.call(RANGE, GET)


async def test_a_password_for_a_refusal_is_used_when_the_present_one_is_refused(
    server: EtcdServer,
) -> None:
    async with joe(server) as channel:
        channel.use_password("staple", if_refused=True)
        await channel.call(RANGE, GET)
        await server.etcdctl("user", "passwd", "joe", "--interactive=false", stdin="staple")
        await channel.call(RANGE, GET)
        # It is the present one now.
        await server.etcdctl("user", "passwd", "joe", "--interactive=false", stdin="battery")
        with pytest.raises(errors.AuthFailedError):
            await channel.call(RANGE, GET)
        channel.use_password("horse", if_refused=True)
        with pytest.raises(errors.AuthFailedError):
            await channel.call(RANGE, GET)
        channel.use_password("battery")
        await channel.call(RANGE, GET)


def test_use_password_is_refused_without_a_user() -> None:
    with pytest.raises(ValueError, match="without username") as caught:
        Channel().use_password(PASSWORD)
    assert PASSWORD not in str(caught.value)


# A server that plays its part ------------------------------------------------------------


class Authority:
    """A server that issues tokens, and accepts only the last one."""

    def __init__(self) -> None:
        self.made = 0
        self.taken: set[str] = set()
        self.played = PlayedEtcd(
            {AUTHENTICATE: self._make, PUT: self._put, SNAPSHOT: self._snapshot}
        )

    @property
    def authentications(self) -> int:
        return self.played.calls.get(AUTHENTICATE.name, 0)

    async def _make(self, request: Any, context: Any) -> Any:
        self.made += 1
        self.taken.add(f"token-{self.made}")
        return pb.AuthenticateResponse(token=f"token-{self.made}")

    async def _check(self, context: Any) -> None:
        if dict(context.invocation_metadata()).get("token") not in self.taken:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token")

    async def _put(self, request: Any, context: Any) -> Any:
        await self._check(context)
        return messages.PutResponse()

    async def _snapshot(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self._check(context)
        yield messages.SnapshotResponse(blob=b"whole")


def user(authority: Authority) -> Channel:
    return Channel(authority.played.endpoint, username="root", password=PASSWORD)


async def test_a_write_refused_because_of_its_token_is_sent_again_with_a_new_one() -> None:
    authority = Authority()
    async with authority.played, user(authority) as channel:
        await channel.call(PUT, messages.PutRequest(key=b"k"))
        authority.taken.clear()
        await asyncio.gather(*(channel.call(PUT, messages.PutRequest()) for _ in range(64)))
        assert authority.authentications == 2


async def test_a_call_that_is_refused_after_others_renewed_the_token_uses_theirs() -> None:
    class Slow(Authority):
        """Answers the write "late" only after another token was issued."""

        def __init__(self) -> None:
            super().__init__()
            self.taken_late, self.renewed = asyncio.Event(), asyncio.Event()

        async def _put(self, request: Any, context: Any) -> Any:
            if request.key == b"late" and not self.renewed.is_set():
                self.taken_late.set()
                await self.renewed.wait()
            await self._check(context)
            return messages.PutResponse()

    authority = Slow()
    async with authority.played, user(authority) as channel:
        late = asyncio.create_task(channel.call(PUT, messages.PutRequest(key=b"late")))
        await asyncio.wait_for(authority.taken_late.wait(), HANG)
        authority.taken.clear()
        await channel.call(PUT, messages.PutRequest(key=b"soon"))
        authority.renewed.set()
        await asyncio.wait_for(late, HANG)
        assert authority.authentications == 2


async def test_a_download_refused_because_of_its_token_is_retried_with_a_new_one() -> None:
    authority = Authority()
    async with authority.played, user(authority) as channel:
        authority.taken.clear()
        blobs = [
            response.blob
            async for response in channel.download(SNAPSHOT, messages.SnapshotRequest())
        ]
        assert blobs == [b"whole"]
        assert authority.authentications == 2


async def test_token_renewals_are_limited_if_the_server_refuses_every_token() -> None:
    class Liar(Authority):
        async def _make(self, request: Any, context: Any) -> Any:
            return pb.AuthenticateResponse(token="never taken")

    authority = Liar()
    async with authority.played, user(authority) as channel:
        with pytest.raises(errors.InvalidAuthTokenError) as caught:
            await asyncio.wait_for(channel.call(PUT, messages.PutRequest()), HANG)
        assert caught.value.definite
        assert 2 <= authority.authentications <= 10


async def test_a_token_request_that_is_not_answered_times_out_with_the_call() -> None:
    never = asyncio.Event()

    async def hang(request: Any, context: Any) -> Any:
        await never.wait()

    async with PlayedEtcd({AUTHENTICATE: hang}) as server:
        channel = Channel(server.endpoint, username="root", password=PASSWORD)

        def put(timeout: float) -> Awaitable[Any]:
            return channel.call(PUT, messages.PutRequest(), timeout=timeout)

        def snapshot(timeout: float) -> Awaitable[Any]:
            request = messages.SnapshotRequest()
            return channel.download(SNAPSHOT, request, timeout=timeout).__anext__()

        for work in (put, snapshot):
            told: list[str] = []
            for timeout in (0.2, 2, 8):  # the longer ones for a busy machine
                with pytest.raises(ConnectionTimeoutError) as caught:
                    await asyncio.wait_for(work(timeout), HANG)
                assert caught.value.definite
                told.append(str(caught.value))
                if "no token was received" in told[-1]:
                    break
            assert "no token was received" in told[-1], told
        await channel.close()
        never.set()


async def test_a_token_is_fetched_in_spite_of_an_outage() -> None:
    """Authenticate is repeatable, so it is sent again."""
    answers = [grpc.StatusCode.UNAVAILABLE, None]

    async def make(request: Any, context: Any) -> Any:
        if code := answers.pop(0):
            await context.abort(code, "etcdserver: leader changed")
        return pb.AuthenticateResponse(token="t")

    async def put(request: Any, context: Any) -> Any:
        return messages.PutResponse()

    async with PlayedEtcd({AUTHENTICATE: make, PUT: put}) as server:
        async with Channel(server.endpoint, username="root", password=PASSWORD) as channel:
            await channel.call(PUT, messages.PutRequest())
    assert not answers


# Secrets ---------------------------------------------------------------------------------


async def test_passwords_and_tokens_are_never_shown(
    server: EtcdServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []

    class Silent:
        def opened(self) -> list[Any]:
            return []

        def received(self, response: Any) -> None: ...

        def broken(self, error: ClientError) -> None:
            shown.append(repr(error) + str(error))

        def ended(self, error: ClientError) -> None:
            shown.append(repr(error) + str(error))

    channel = joe(server)
    await channel.call(RANGE, GET)
    tokens = channel._tokens
    assert tokens is not None
    assert tokens.metadata is not None
    token = tokens.metadata[0][1]
    stream = channel.stream(WATCH, Silent())
    wrong = Channel(server.endpoint, username="joe", password=PASSWORD + "!")
    await server.etcdctl("user", "passwd", "joe", "--interactive=false", stdin="staple")
    for failing in (
        wrong.connect(),
        channel.call(RANGE, GET),
        channel.call(PUT, messages.PutRequest(key=b"")),
    ):
        with pytest.raises(ClientError) as caught:
            await failing
        shown.append("".join(traceback.format_exception(caught.value)))
        shown.append(repr(vars(caught.value)))
    shown += map(repr, (channel, wrong, stream, vars(channel), tokens, vars(stream)))
    await wrong.close()
    await channel.close()
    text = "\n".join([*shown, caplog.text])
    assert PASSWORD not in text
    assert token not in text
