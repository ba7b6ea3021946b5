"""Calls that share transactions, when some are cancelled or denied, and when answers are lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from kv_support import PASSWORD, server_with_users

from etcd_channel import Channel, ChannelView, ClientError, FailedAttempt
from etcd_channel.errors import (
    ClientClosedError,
    ConnectionFailedError,
    ConnectionTimeoutError,
    PermissionDeniedError,
    WrongEventLoopError,
)
from etcd_kv import KVClient
from etcd_kv._coalescing_versions import is_safe
from etcd_testing import EtcdServer, FaultProxy, cancel_everywhere

HANG = 60.0
"""Seconds after which a call has hung; nothing is measured by it."""


async def outcomes(calls: list[Awaitable[object]]) -> list[object]:
    return list(await asyncio.gather(*calls, return_exceptions=True))


async def test_when_an_answer_is_lost_each_put_is_told_and_none_is_sent_again(
    etcd_endpoint: str, kv: KVClient, key_prefix: bytes
) -> None:
    attempts: list[FailedAttempt] = []
    async with (
        FaultProxy(etcd_endpoint) as proxy,
        Channel(proxy.endpoint, on_failed_attempt=attempts.append) as channel,
    ):
        shared = KVClient(channel).coalescing()
        await shared.get(key_prefix)
        warm = [shared.put(key_prefix + b"warm%d" % n, b"") for n in range(3)]
        await asyncio.gather(*warm)
        killed = proxy.kill_next_reply()
        results = await outcomes([shared.put(key_prefix + b"%d" % n, b"") for n in range(50)])
        await killed
        assert len({id(error) for error in results}) == 50
        for error in results:
            assert isinstance(error, ConnectionFailedError)
            assert not error.definite
            assert error.method == "KV.Put"
            assert error.__cause__ is not None
        assert [attempt.rpc for attempt in attempts] == ["KV.Txn"]
        await kv.delete_prefix(key_prefix + b"warm")
        there = await kv.get_prefix(key_prefix)
        assert len(there) == 50
        assert {item.version for item in there} == {1}


async def test_when_an_answer_is_lost_the_gets_are_sent_again(
    etcd_endpoint: str, kv: KVClient, key_prefix: bytes
) -> None:
    await kv.put(key_prefix, b"value")
    async with FaultProxy(etcd_endpoint) as proxy, Channel(proxy.endpoint) as channel:
        shared = KVClient(channel).coalescing()
        for _ in range(3):
            await asyncio.gather(*(shared.get(key_prefix) for _ in range(3)))
        killed = proxy.kill_next_reply()
        results = await asyncio.gather(*(shared.get(key_prefix) for _ in range(50)))
        await killed
        assert {result.value for result in results if result} == {b"value"}
        assert None not in results


async def test_without_a_server_each_call_raises_its_own_definite_error(
    unreachable_kv: KVClient,
) -> None:
    shared = unreachable_kv.coalescing()
    results = await outcomes(
        [
            *(shared.put(b"%d" % n, b"") for n in range(5)),
            *(shared.delete(b"%d" % n) for n in range(5)),
            *(shared.get(b"%d" % n) for n in range(5)),
        ]
    )
    assert len({id(error) for error in results}) == 15
    for error in results:
        assert isinstance(error, ConnectionFailedError)
        assert error.definite
    methods = [error.method for error in results if isinstance(error, ClientError)]
    assert methods == ["KV.Put"] * 5 + ["KV.DeleteRange"] * 5 + ["KV.Range"] * 5


async def test_a_cancelled_call_leaves_the_others(kv: KVClient, key_prefix: bytes) -> None:
    shared = kv.coalescing()
    for turns in range(6):
        mine = key_prefix + b"%d/" % turns
        tasks = [asyncio.create_task(shared.put(mine + b"%d" % n, b"")) for n in range(40)]
        tasks += [asyncio.create_task(shared.get(mine)) for _ in range(40)]  # type: ignore[arg-type]  # another result
        for _ in range(turns):
            await asyncio.sleep(0)
        # One that has ended already cannot be cancelled.
        cancelled = {task for task in tasks[::3] if task.cancel()}
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for task, result in zip(tasks, results, strict=True):
            assert task.cancelled() == (task in cancelled), result
            assert task in cancelled or not isinstance(result, BaseException)
        there = {int(item.key[len(mine) :]) for item in await kv.get_prefix(mine)}
        assert there >= {n for n in range(40) if n % 3}


async def test_nothing_is_left_behind_wherever_a_call_is_cancelled(
    kv: KVClient, key_prefix: bytes
) -> None:
    shared = kv.coalescing()

    async def both() -> None:
        await asyncio.gather(
            *(shared.put(key_prefix + b"%d" % n, b"", timeout=5) for n in range(5)),
            *(shared.get(key_prefix) for _ in range(5)),
        )

    async def nothing_is_left() -> None:
        # What is not cancelled ends by itself: a transaction of reads, and calls that a cancelled
        # gather did not wait for.
        while left := asyncio.all_tasks() - {asyncio.current_task()}:
            assert (await asyncio.wait(left, timeout=HANG))[0]
        # All works as before.
        await asyncio.gather(*(shared.put(key_prefix + b"%d" % n, b"") for n in range(3)))

    await both()
    assert await cancel_everywhere(both, nothing_is_left, every=5)


async def test_each_call_has_its_own_deadline(
    private_server: EtcdServer, key_prefix: bytes
) -> None:
    async with FaultProxy(private_server.endpoint) as proxy, Channel(proxy.endpoint) as channel:
        shared = KVClient(channel).coalescing()
        for _ in range(3):
            await asyncio.gather(*(shared.get(key_prefix) for _ in range(3)))
        proxy.delay(0.5)
        waiting = [
            *(asyncio.ensure_future(shared.put(key_prefix + b"%d" % n, b"")) for n in range(5)),
            *(asyncio.ensure_future(shared.get(key_prefix)) for _ in range(5)),
        ]
        hasty = [
            shared.put(key_prefix + b"hasty", b"", timeout=0.02),
            shared.get(key_prefix, timeout=0.02),
            shared.delete(key_prefix, timeout=0.02),
        ]
        for error in await outcomes(list(hasty)):
            assert isinstance(error, ConnectionTimeoutError)
            assert error.method in ("KV.Put", "KV.Range", "KV.DeleteRange")
        assert not any(task.done() for task in waiting)
        proxy.heal()
        await asyncio.gather(*waiting)


async def test_a_call_that_was_not_sent_before_its_deadline_is_told_so(
    private_server: EtcdServer, key_prefix: bytes
) -> None:
    async with FaultProxy(private_server.endpoint) as proxy, Channel(proxy.endpoint) as channel:
        shared = KVClient(channel).coalescing()
        await shared.put(key_prefix, b"")
        proxy.drop("to_server")
        # One key: each put is a request of its own, and only some are in flight.
        results = await outcomes([shared.put(key_prefix, b"", timeout=0.3) for _ in range(20)])
        assert {type(error) for error in results} == {ConnectionTimeoutError}
        definite = [error.definite for error in results if isinstance(error, ClientError)]
        assert set(definite) == {True, False}
        proxy.heal()
        there = await shared.get(key_prefix)
        assert there is not None
        assert there.version == 1


async def test_calls_end_that_are_made_at_any_moment_of_closing(
    etcd_endpoint: str, kv: KVClient, key_prefix: bytes
) -> None:
    for turns in range(50):
        async with Channel(etcd_endpoint) as channel:
            shared = KVClient(channel).coalescing()
            await asyncio.gather(*(shared.put(key_prefix + b"%d" % n, b"") for n in range(3)))
            closing = asyncio.create_task(channel.close())
            for _ in range(turns):
                await asyncio.sleep(0)
            calls = [asyncio.create_task(shared.put(key_prefix + b"%d" % n, b"")) for n in range(3)]
            _, waiting = await asyncio.wait(calls, timeout=HANG)
            assert not waiting
            await closing
            for call in calls:
                error = call.exception()
                assert error is None or isinstance(error, ClientClosedError)


async def test_closing_the_channel_ends_all_calls(
    private_server: EtcdServer, key_prefix: bytes
) -> None:
    async with FaultProxy(private_server.endpoint) as proxy:
        channel = Channel(proxy.endpoint)
        shared = KVClient(channel).coalescing()
        await asyncio.gather(*(shared.get(key_prefix) for _ in range(3)))
        proxy.drop("to_client")
        calls: list[asyncio.Future[object]] = [
            asyncio.ensure_future(call)
            for n in range(600)
            for call in (
                shared.put(key_prefix + b"%d" % n, b""),
                shared.get(key_prefix),
                shared.delete(key_prefix + b"%d" % n),
            )
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await channel.close()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(error) for error in results} == {ClientClosedError}
        for late in (shared.get(key_prefix), shared.put(key_prefix, b"")):
            with pytest.raises(ClientClosedError, match="the client is closed"):
                await late
        assert len(asyncio.all_tasks()) == 1


class RefusedByViewError(Exception):
    """An error that `copy.copy` cannot copy, because of its second argument."""

    def __init__(self, number: int, *, reason: str) -> None:
        super().__init__(number)
        self.reason = reason


@pytest.mark.parametrize("error", [LookupError("refused"), RefusedByViewError(7, reason="refused")])
async def test_an_error_of_a_view_reaches_every_call(
    etcd_endpoint: str, key_prefix: bytes, error: Exception
) -> None:
    class Refusing(ChannelView):
        async def call(self, rpc: Any, request: Any, **options: Any) -> Any:
            if rpc.name == "KV.Txn":
                raise error
            return await super().call(rpc, request, **options)

    async with Channel(etcd_endpoint) as channel:
        shared = KVClient(Refusing(channel)).coalescing()
        calls = outcomes([shared.put(key_prefix + b"%d" % n, b"") for n in range(10)])
        first, *others = await asyncio.wait_for(calls, HANG)
        assert not isinstance(first, BaseException)  # sent at once, and alone
        assert [type(other) for other in others] == [type(error)] * 9
        assert {str(other) for other in others} == {str(error)}


def test_another_event_loop_is_refused(etcd_endpoint: str, key_prefix: bytes) -> None:
    channel = Channel(etcd_endpoint)
    shared = KVClient(channel).coalescing()
    own = asyncio.new_event_loop()
    own.run_until_complete(shared.put(key_prefix, b""))
    with pytest.raises(WrongEventLoopError):
        asyncio.run(_twice(shared, key_prefix))
    own.run_until_complete(_twice(shared, key_prefix))
    own.run_until_complete(channel.close())
    own.close()


async def _twice(shared: KVClient, key: bytes) -> None:
    await asyncio.gather(shared.put(key + b"1", b""), shared.put(key + b"2", b""))


@pytest.fixture(scope="module")
def guarded_server() -> Iterator[EtcdServer]:
    """A server where writer may read and write what begins with "open/"."""
    with server_with_users({"writer": "readwrite"}) as server:
        yield server


async def test_a_denied_key_fails_only_its_own_call(guarded_server: EtcdServer) -> None:
    async with Channel(guarded_server.endpoint, username="writer", password=PASSWORD) as channel:
        shared = KVClient(channel).coalescing()
        denied = {3, 77}
        keys = [b"closed/" if n in denied else b"open/%d" % n for n in range(150)]
        operations: list[Callable[[bytes], Awaitable[object]]] = [
            lambda key: shared.put(key, b""),
            shared.get,
            shared.delete,
        ]
        for operation in operations * 2:
            results = await outcomes([operation(key) for key in keys])
            for n, result in enumerate(results):
                assert isinstance(result, PermissionDeniedError) == (n in denied)
                assert n in denied or not isinstance(result, BaseException)


async def test_a_client_without_a_user_is_refused_once_for_all(
    guarded_server: EtcdServer,
) -> None:
    attempts: list[FailedAttempt] = []
    async with Channel(guarded_server.endpoint, on_failed_attempt=attempts.append) as channel:
        shared = KVClient(channel).coalescing()
        results = await outcomes([shared.put(b"open/%d" % n, b"") for n in range(100)])
        assert {str(error) for error in results if "no username" in str(error)}
        assert all(isinstance(error, ClientError) for error in results)
        # The first one is sent at once, and alone.
        assert len(attempts) == 2


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ("3.3.27", False),
        ("3.4.22", False),
        ("3.4.23", True),
        ("3.5.0", False),
        ("3.5.6", False),
        ("3.5.7", True),
        ("3.5.30", True),
        ("3.6.0-rc.1", True),
        ("3.10.0", True),
        ("4.0.0", True),
        ("", False),
        ("not a version", False),
    ],
)
def test_gets_are_shared_with_versions_that_survive_the_end_of_a_client(
    version: str, safe: bool
) -> None:
    assert is_safe(version) == safe
