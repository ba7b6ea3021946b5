"""A caught error keeps no other objects alive, and an expected error is not logged."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from etcd_client import Client, Mutex, STMTransaction
from etcd_testing import FaultProxy
from etcd_testing.plugin import ServerFactory

HANG = 60.0

Call = Callable[[Client, Client], Awaitable[object]]


async def _iterate(client: Client) -> None:
    async for _ in client.watch(b"k", start_revision=1):
        pass


async def _locked(client: Client) -> None:
    async with client.lock(b"held", 5, timeout=0):
        pass


async def _lease(client: Client) -> None:
    await client.lease(5, timeout=0.1)


async def _scan(client: Client) -> None:
    async for _ in client.scan_prefix(b"k", revision=1):
        pass


async def _scan_all(client: Client) -> None:
    async for _ in client.scan_prefix(b"k"):
        pass


async def _scan_many(client: Client) -> None:
    async for _ in client.scan_many([b"k"], revision=1):
        pass


async def _stm(client: Client) -> None:
    async def body(stm: STMTransaction) -> None:
        await stm.get(b"k")
        stm.put(b"k", b"v", lease=77)

    await client.stm(body)


class _BodyError(Exception):
    pass


async def _refused(client: Client) -> None:
    async def body(stm: STMTransaction) -> None:
        raise _BodyError

    await client.stm(body)


async def _cached(client: Client) -> None:
    async with client.cache(b"k") as cache:
        await cache.wait_for(lambda cache: cache.get(b"k/none"), timeout=0.05)


async def _mutex(client: Client) -> None:
    async with client.session(5) as session, Mutex(session, b"m"):
        async with client.session(5) as other, Mutex(other, b"m", timeout=0):
            pass


async def _discovered(client: Client) -> None:
    async with client.discovery(b"k", timeout=2):
        pass


async def _registered(client: Client) -> None:
    async with client.registration(b"k", "a:1", timeout=2):
        pass


# Calls that fail: on a server that is compacted up to revision 3, and without a server.
FAILURES: dict[str, Call] = {
    "compacted": lambda client, nobody: client.get(b"k", revision=1),
    "of the future": lambda client, nobody: client.get(b"k", revision=10**6),
    "a read of nobody": lambda client, nobody: nobody.get(b"k"),
    "a write to nobody": lambda client, nobody: nobody.put(b"k", b"v"),
    "a lease of nobody": lambda client, nobody: _lease(nobody),
    "an unknown lease": lambda client, nobody: client.get_lease_info(5),
    "a revocation": lambda client, nobody: client.revoke_lease(5),
    "a refresh": lambda client, nobody: client.refresh_lease(5),
    "a put with a lease": lambda client, nobody: client.put(b"k", b"v", lease=77),
    "a watch": lambda client, nobody: _iterate(client),
    "a watch for once": lambda client, nobody: client.watch_once(b"q", timeout=0.05),
    "a lock": lambda client, nobody: _locked(client),
    "a member": lambda client, nobody: client.remove_member(5),
    "a connection to nobody": lambda client, nobody: nobody.connect(),
    "a scan": lambda client, nobody: _scan(client),
    "a scan of many": lambda client, nobody: _scan_many(client),
    "many reads": lambda client, nobody: client.get_many([b"k"], revision=1),
    "many puts": lambda client, nobody: client.put_many({b"k": b"v"}, 77),
    "many puts to nobody": lambda client, nobody: nobody.put_many({b"k": b"v"}),
    "a coalesced read": lambda client, nobody: client.coalescing().get(b"k", revision=1),
    "a coalesced put": lambda client, nobody: client.coalescing().put(b"k", b"v", lease=77),
    "a coalesced put to nobody": lambda client, nobody: nobody.coalescing().put(b"k", b"v"),
    "a transaction that retries": lambda client, nobody: _stm(client),
    "a transaction of nobody": lambda client, nobody: _stm(nobody),
    "a transaction whose body fails": lambda client, nobody: _refused(client),
    "a namespace": lambda client, nobody: client.namespace(b"n/").get(b"k", revision=1),
    "a cache": lambda client, nobody: _cached(client),
    "a cache of nobody": lambda client, nobody: _cached(nobody),
    "a mutex": lambda client, nobody: _mutex(client),
    "a counter": lambda client, nobody: client.counter(b"k").add(),
    "a queue of nobody": lambda client, nobody: nobody.queue(b"q").get(timeout=1),
    "a discovery of nobody": lambda client, nobody: _discovered(nobody),
    "a registration with nobody": lambda client, nobody: _registered(nobody),
}
FROZEN: dict[str, Call] = {
    "a read": lambda client, nobody: client.get(b"k", timeout=0.1),
    "a write": lambda client, nobody: client.put(b"k", b"v", timeout=0.1),
    "a lease": lambda client, nobody: _lease(client),
    "many reads": lambda client, nobody: client.get_many([b"k"], timeout=0.1),
    "a coalesced put": lambda client, nobody: client.coalescing().put(b"k", b"v", timeout=0.1),
    "a counter": lambda client, nobody: client.counter(b"n").add(timeout=0.1),
}

WAITING: dict[str, Call] = {
    "a read": lambda client, nobody: client.get(b"k"),
    "a write": lambda client, nobody: client.put(b"k", b"v"),
    "a status": lambda client, nobody: client.status(),
    "a lease": lambda client, nobody: client.lease(5),
    "a watch": lambda client, nobody: _iterate(client),
    "a lock": lambda client, nobody: _locked(client),
    "a scan": lambda client, nobody: _scan_all(client),
    "many reads": lambda client, nobody: client.get_many([b"k"]),
    "a coalesced put": lambda client, nobody: client.coalescing().put(b"k", b"v"),
    "a transaction that retries": lambda client, nobody: _stm(client),
    "a cache": lambda client, nobody: _cached(client),
    "a mutex": lambda client, nobody: _mutex(client),
    "a queue": lambda client, nobody: client.queue(b"q").get(),
    "a discovery": lambda client, nobody: _discovered(client),
    "a registration": lambda client, nobody: _registered(client),
}


@pytest.fixture
async def proxy(etcd_server_factory: ServerFactory) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(etcd_server_factory().endpoint) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: FaultProxy) -> AsyncIterator[Client]:
    async with Client(endpoints=proxy.endpoint) as client:
        for _ in range(3):
            await client.put(b"k", b"v")
        await client.compact(3)
        await client.put(b"held", b"by another")
        yield client


@pytest.fixture
async def nobody() -> AsyncIterator[Client]:
    client = Client(endpoints="127.0.0.1:1", connect_wait_timeout=0.1)
    yield client
    await client.close()


@pytest.fixture
def no_gc() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def _caught(call: Awaitable[object]) -> weakref.ref[Exception]:
    """Catch the error of a call, and keep it only in its handler."""
    try:
        await call
    except Exception as error:
        cause = error.__cause__
        while cause is not None:
            # Frames of gRPC, which would keep the channel, are of no use to a caller.
            assert cause.__traceback__ is None or type(cause).__name__ == "StillRunning", cause
            cause = cause.__cause__
        del cause
        return weakref.ref(error)
    pytest.fail("it did not fail")


async def until_freed(error: weakref.ref[Exception]) -> None:
    """Wait for threads of gRPC and tasks that end; a cycle would stay: `no_gc`."""

    async def poll() -> None:
        while error() is not None:  # noqa: ASYNC110  # what is freed has no event
            await asyncio.sleep(0.01)

    await asyncio.wait_for(poll(), HANG)


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_an_error_is_freed_after_its_handler(
    failure: Call, client: Client, nobody: Client, no_gc: None
) -> None:
    error = await _caught(failure(client, nobody))
    await until_freed(error)


@pytest.mark.parametrize("failure", FROZEN.values(), ids=FROZEN)
async def test_an_error_of_a_member_that_does_not_answer_is_freed_after_its_handler(
    failure: Call, proxy: FaultProxy, client: Client, nobody: Client, no_gc: None
) -> None:
    proxy.black_hole()
    error = await _caught(failure(client, nobody))
    proxy.heal()
    await until_freed(error)


async def _kept(call: Awaitable[object]) -> Exception:
    try:
        await call
    except Exception as error:
        return error
    pytest.fail("it did not fail")


async def until_disconnected(client: Client, proxy: FaultProxy) -> None:
    await client.close()
    gc.collect()  # gRPC 1.62 leaves a cycle behind, which no error refers to
    await proxy.until(lambda counters: counters.open == 0, timeout=HANG)


# Nothing listens where the others connect to.
CONNECTED = {name: failure for name, failure in FAILURES.items() if "nobody" not in name}


@pytest.mark.parametrize("failure", CONNECTED.values(), ids=CONNECTED)
async def test_an_error_that_is_kept_keeps_no_connection_of_a_closed_client(
    failure: Call, proxy: FaultProxy, client: Client, nobody: Client
) -> None:
    kept = await _kept(failure(client, nobody))
    await until_disconnected(client, proxy)
    del kept  # it was kept until here


@pytest.mark.parametrize("failure", FROZEN.values(), ids=FROZEN)
async def test_an_error_of_a_silent_member_that_is_kept_keeps_no_connection_of_a_closed_client(
    failure: Call, proxy: FaultProxy, client: Client, nobody: Client
) -> None:
    proxy.black_hole()
    kept = await _kept(failure(client, nobody))
    proxy.heal()
    await until_disconnected(client, proxy)
    del kept  # it was kept until here


@pytest.mark.parametrize("failure", WAITING.values(), ids=WAITING)
async def test_the_timeout_of_asyncio_that_is_kept_keeps_no_connection_of_a_closed_client(
    failure: Call, proxy: FaultProxy, client: Client, nobody: Client
) -> None:
    proxy.black_hole()
    # It has the cancellation of the call as its cause.
    kept = await _kept(asyncio.wait_for(failure(client, nobody), 0.1))
    proxy.heal()
    await until_disconnected(client, proxy)
    assert isinstance(kept, asyncio.TimeoutError)


PROGRAM = """
import asyncio, sys
from etcd_client import Client

async def read(client, began):
    async with client.watch(b"k") as watch:
        began.set()
        async for event in watch:
            pass

async def changes(iterate, began):
    async for _ in iterate:
        began.set()

async def main():
    # In development mode asyncio writes to stderr when a busy machine makes a callback slow.
    asyncio.get_running_loop().slow_callback_duration = 1000
    readers = []
    async with Client(endpoints=sys.argv[1]) as client:
        for _ in range(3):
            began = asyncio.Event()
            readers.append(asyncio.create_task(read(client, began)))
            await began.wait()
        await client.put(b"k/1", b"v")
        async with client.cache(b"k") as cache, client.discovery(b"k/") as services:
            for iterate in (
                cache.changes(initial=True),
                services.changes(),
                client.watch_from_list(b"k"),
                client.group(b"k").changes(),
                client.observe_election(b"k"),
            ):
                began = asyncio.Event()
                readers.append(asyncio.create_task(changes(iterate, began)))
                await began.wait()
    await asyncio.wait(readers)
    readers.clear()

asyncio.run(main())
"""


def test_a_reader_that_is_not_awaited_is_not_reported_when_its_client_closes(
    etcd_endpoint: str,
) -> None:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM, etcd_endpoint]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
