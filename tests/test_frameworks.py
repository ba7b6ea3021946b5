"""Calls inside anyio's scopes, asyncio's timeouts and groups, and other event loops."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import anyio
import pytest

from etcd_client import Client, STMTransaction
from etcd_testing import EtcdServer, FaultProxy
from etcd_testing.plugin import ServerFactory

HANG = 60.0

Call = Callable[[Client], Coroutine[Any, Any, Any]]


async def first_event(client: Client) -> None:
    async for _ in client.watch(b"k"):
        return


async def with_lock(client: Client) -> None:
    async with client.lock(b"lock", 5):
        pass


async def lease(client: Client) -> None:
    await client.lease(5)


async def scan(client: Client) -> None:
    async for _ in client.scan_prefix(b"k"):
        pass


async def scan_many(client: Client) -> None:
    async for _ in client.scan_many([b"k"]):
        pass


async def increment(stm: STMTransaction) -> None:
    found = await stm.get(b"k")
    stm.put(b"k", b"1" if found is None else found.value + b"1")


async def with_cache(client: Client) -> None:
    async with client.cache(b"k"):
        pass


async def changes(client: Client) -> None:
    async for _ in client.watch_from_list(b"k"):
        return


async def session(client: Client) -> None:
    async with client.session(5):
        pass


async def observe(client: Client) -> None:
    async for _ in client.observe_election(b"k"):
        return


async def registration(client: Client) -> None:
    async with client.registration(b"k", "a:1"):
        pass


async def discovery(client: Client) -> None:
    async with client.discovery(b"k"):
        pass


CALLS: dict[str, Call] = {
    "get": lambda client: client.get(b"k"),
    "put": lambda client: client.put(b"k", b"v"),
    "delete": lambda client: client.delete(b"k"),
    "get_prefix": lambda client: client.get_prefix(b"k"),
    "transaction": lambda client: client.transaction([], [client.transactions.put(b"k", b"v")]),
    "members": lambda client: _members(client),
    "status": lambda client: client.status(),
    "lease": lease,
    "revoke_lease": lambda client: client.revoke_lease(7),
    "refresh_lease": lambda client: client.refresh_lease(7),
    "watch": first_event,
    "watch_once": lambda client: client.watch_once(b"k", timeout=HANG),
    "lock": with_lock,
    "user_list": lambda client: client.user_list(),
    "scan": scan,
    "put_many": lambda client: client.put_many({b"k": b"v"}),
    "get_many": lambda client: client.get_many([b"k"]),
    "scan_many": scan_many,
    "delete_many": lambda client: client.delete_many([b"k"]),
    "coalesced get": lambda client: client.coalescing().get(b"k"),
    "coalesced put": lambda client: client.coalescing().put(b"k", b"v"),
    "stm": lambda client: client.stm(increment),
    "namespace": lambda client: client.namespace(b"n/").get(b"k"),
    "cache": with_cache,
    "watch_from_list": changes,
    "session": session,
    "server_lock": lambda client: client.server_lock(b"k"),
    "observe_election": observe,
    "snapshot": lambda client: client.snapshot(io.BytesIO()),
    "counter": lambda client: client.counter(b"k").add(),
    "barrier": lambda client: client.barrier(b"k").wait(),
    "queue": lambda client: client.queue(b"k").get(),
    "group": lambda client: client.group(b"k").wait(1),
    "registration": registration,
    "discovery": discovery,
}


async def _members(client: Client) -> None:
    await client.members()


calls = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@pytest.fixture
async def silent(etcd_server_factory: ServerFactory) -> AsyncIterator[Client]:
    """A client whose server does not answer."""
    server: EtcdServer = etcd_server_factory()
    async with FaultProxy(server.endpoint) as proxy, Client(endpoints=proxy.endpoint) as client:
        await client.get(b"k")
        proxy.black_hole()
        yield client
        proxy.heal()


@calls
async def test_an_anyio_scope_ends_a_call_by_its_cancellation(call: Call, silent: Client) -> None:
    with anyio.move_on_after(0.1) as scope:
        await call(silent)
    assert scope.cancelled_caught


@calls
async def test_anyio_raises_a_timeout_for_a_call(call: Call, silent: Client) -> None:
    with pytest.raises(TimeoutError):
        with anyio.fail_after(0.1):
            await call(silent)


async def test_an_anyio_task_group_ends_with_its_scope(silent: Client) -> None:
    async with anyio.create_task_group() as group:
        for call in CALLS.values():
            group.start_soon(call, silent)
        await asyncio.sleep(0.1)
        group.cancel_scope.cancel()


if sys.version_info >= (3, 11):

    @calls
    async def test_asyncio_raises_a_timeout_for_a_call(call: Call, silent: Client) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await call(silent)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    async def test_a_failing_task_of_a_group_ends_the_calls_of_the_others(silent: Client) -> None:
        async def fail() -> None:
            await asyncio.sleep(0.1)
            raise LookupError

        async def run_them() -> None:
            async with asyncio.TaskGroup() as group:
                for call in CALLS.values():
                    group.create_task(call(silent))
                group.create_task(fail())

        with pytest.raises(BaseException) as caught:  # an ExceptionGroup, which 3.10 has not
            await run_them()
        (error,) = getattr(caught.value, "exceptions", ())
        assert isinstance(error, LookupError)


PROGRAM = """
import asyncio, sys
from etcd_client import Client, STMTransaction

async def work(client, key):
    await client.put(key, b"v")
    assert (await client.get(key)).value == b"v"
    lease = await client.lease(60)
    await lease.refresh()
    async with client.watch(key) as watch:
        await client.put(key, b"w")
        async for event in watch:
            break
    async with client.lock(key + b"/lock", ttl=60):
        pass
    await lease.revoke()

async def main():
    loop = asyncio.get_running_loop()
    if sys.argv[3] == "eager":
        loop.set_task_factory(asyncio.eager_task_factory)
    key = sys.argv[2].encode()
    async with Client(endpoints=sys.argv[1]) as client:
        await asyncio.gather(*(work(client, key + b"%d" % n) for n in range(8)))
        waiting = asyncio.create_task(client.watch_once(key, timeout=60))
        await asyncio.sleep(0.05)
        waiting.cancel("why")
        try:
            await waiting
        except asyncio.CancelledError as error:
            assert sys.version_info < (3, 11) or error.args == ("why",), error.args
        else:
            raise AssertionError("it was not cancelled")

if sys.argv[3] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


@pytest.mark.parametrize(
    "loop",
    [
        pytest.param(
            "uvloop",
            marks=pytest.mark.skipif(
                sys.platform == "win32", reason="uvloop is not made for Windows"
            ),
        ),
        pytest.param(
            "eager",
            marks=pytest.mark.skipif(
                sys.version_info < (3, 12),
                reason="asyncio.eager_task_factory is new in Python 3.12",
            ),
        ),
    ],
)
def test_a_program_on_another_event_loop_runs_and_prints_nothing(
    loop: str, etcd_endpoint: str, key_prefix: bytes
) -> None:
    command = [sys.executable, "-c", PROGRAM, etcd_endpoint, key_prefix.decode(), loop]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
