"""Forks: clients in the child and in the parent process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

import grpc
import pytest

from etcd_testing import EtcdServer

HANG = 100.0

# A server that opens its client and forks workers, as prefork servers do. The code to open, close
# and exit is inserted below.
PREFACE = """
import asyncio, multiprocessing, os, sys, threading, warnings
from etcd_client import Client, ClientForkedError
from etcd_lock import Mutex

# Since Python 3.12 a fork in a process with threads raises a warning.
warnings.simplefilter("ignore", DeprecationWarning)
endpoint = sys.argv[1]
loop = asyncio.new_event_loop()

def fork(work):
    pid = os.fork()
    if pid == 0:
        # sys.exit runs the interpreter's cleanup, which must not wait for anything of the parent.
        asyncio.run(work())
        loop.close()
        sys.exit(7)
    return pid

def wait(pid):
    # The parent's event loop keeps running.
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 7, status
            return
        loop.run_until_complete(asyncio.sleep(0.01))

async def works():
    # Long enough for a busy machine.
    async with Client(endpoints=[endpoint], timeout=50, connect_wait_timeout=50) as own:
        await own.put(b"forks/child", b"here")
        assert (await own.get(b"forks/child")).value == b"here"

async def refused(*uses):
    for use in uses:
        try:
            await use
        except ClientForkedError as error:
            assert error.definite
            assert "close every client before the fork" in str(error), error
        else:
            raise AssertionError(f"{use} was expected to be refused")
"""


async def run(program: str, endpoint: str, **env: str) -> None:
    """Run a program that prints "done", and nothing to stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", PREFACE + program, endpoint),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **env},
        start_new_session=True,
    )
    try:
        stdout, stderr = await asyncio.wait_for(process.communicate(), HANG)
    finally:
        # A child that hangs would keep the pipes open.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    assert (stderr.decode(), stdout.decode()) == ("", "done\n")
    assert process.returncode == 0


# By default gRPC's own fork handlers are active: they write to stderr that they do nothing, and in
# 1.85 crash one child in six where a channel is open.
WITHOUT_HANDLERS = {"GRPC_ENABLE_FORK_SUPPORT": "0"}


async def test_a_child_works_when_its_parent_has_closed_its_client(etcd_endpoint: str) -> None:
    await run(
        """
async def use():
    async with Client(endpoints=[endpoint], timeout=50, connect_wait_timeout=50) as client:
        await client.put(b"forks/parent", b"here")
        async with client.watch(b"forks/parent") as watch, client.lock(b"forks/lock", ttl=30):
            await client.put(b"forks/parent", b"again")
            await watch.__anext__()
    # Wait until gRPC has ended its thread after the end of the streams.
    while threading.active_count() > 1:
        await asyncio.sleep(0.01)

for _ in range(3):
    loop.run_until_complete(use())
    for pid in [fork(works) for _ in range(3)]:
        wait(pid)
loop.run_until_complete(use())
loop.close()
print("done")
""",
        etcd_endpoint,
    )


async def test_a_client_that_was_never_used_works_in_each_child(etcd_endpoint: str) -> None:
    """Like a client at module level, in a server that imports its modules before it forks."""
    await run(
        """
client = Client(endpoints=[endpoint], timeout=50, connect_wait_timeout=50)

async def use():
    async with client:
        await client.put(b"forks/unused", b"here")

for pid in [fork(use) for _ in range(3)]:
    wait(pid)
loop.run_until_complete(use())
for pid in [fork(works) for _ in range(3)]:
    wait(pid)
loop.close()
print("done")
""",
        etcd_endpoint,
    )


async def test_a_child_is_refused_at_once_if_its_parent_has_an_open_client(
    etcd_server: EtcdServer,
) -> None:
    await run(
        """
client = Client(endpoints=[endpoint], keepalive_time=100)

async def begin():
    watch = await client.watch(b"forks/watched")
    lease = await client.lease(60)
    session = await client.session().__aenter__()
    mutex = Mutex(session, b"forks/mutex")
    await mutex.acquire()
    return watch, lease, session, mutex

watch, lease, session, mutex = loop.run_until_complete(begin())

async def child():
    for made_by_parent in (client, watch, lease, mutex):
        assert repr(made_by_parent)
    await refused(
        client.get(b"k"), client.connect(), watch.__anext__(), lease.refresh(), mutex.release(),
        client.watch_once(b"k", timeout=30),
    )
    await watch.cancel()
    await client.close()
    # A client that the child makes is refused too.
    own = Client(endpoints=[endpoint])
    await refused(own.get(b"k"), own.connect(), own.lock(b"k").acquire(), own.__aenter__())
    await own.close()

for pid in [fork(child) for _ in range(3)]:
    wait(pid)

async def go_on():
    await client.put(b"forks/watched", b"news")
    assert (await watch.__anext__()).kv.value == b"news"
    assert client.channel.reconnects == 0
    assert not lease.is_lost
    await lease.refresh()
    await mutex.release()
    await session.__aexit__(None, None, None)
    await client.close()

loop.run_until_complete(go_on())
loop.close()
print("done")
""",
        etcd_server.endpoint,
        **WITHOUT_HANDLERS,
    )


async def test_the_parents_event_loop_may_continue_in_the_child(etcd_endpoint: str) -> None:
    await run(
        """
client = Client(endpoints=[endpoint])

async def begin():
    return await client.watch(b"forks/same")

watch = loop.run_until_complete(begin())
pid = os.fork()
if pid == 0:
    loop.run_until_complete(refused(watch.__anext__(), client.get(b"k")))
    loop.close()
    sys.exit(7)
wait(pid)
loop.run_until_complete(client.close())
loop.close()
print("done")
""",
        etcd_endpoint,
        **WITHOUT_HANDLERS,
    )


@pytest.mark.skipif(
    tuple(map(int, grpc.__version__.split(".")[:2])) < (1, 70),
    reason="with grpcio before 1.70 such a child never ends, whatever the client does:"
    " gRPC waits for a thread that only the parent has",
)
async def test_another_librarys_grpc_aio_channel_is_detected_too(etcd_endpoint: str) -> None:
    await run(
        """
from grpc import aio

async def begin():
    channel = aio.insecure_channel(endpoint)
    await channel.unary_unary("/grpc.health.v1.Health/Check")(b"")
    return channel

channel = loop.run_until_complete(begin())

async def child():
    await refused(Client(endpoints=[endpoint]).get(b"k"))

wait(fork(child))
loop.run_until_complete(channel.close())
loop.close()
print("done")
""",
        etcd_endpoint,
        **WITHOUT_HANDLERS,
    )


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
async def test_spawned_processes_may_open_clients_beside_an_open_one(
    etcd_endpoint: str, method: str
) -> None:
    await run(
        f"""
from concurrent.futures import ProcessPoolExecutor

# Run by exec: a function of this program is none that another process could import.
WORK = '''
import asyncio
from etcd_client import Client

async def work():
    async with Client(endpoints=[endpoint]) as client:
        assert (await client.get(b"forks/main")).value == b"here"

asyncio.run(work())
'''

async def main():
    async with Client(endpoints=[endpoint]) as client:
        await client.put(b"forks/main", b"here")
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context({method!r})) as pool:
            await loop.run_in_executor(pool, exec, WORK, dict(endpoint=endpoint))

loop.run_until_complete(main())
loop.close()
print("done")
""",
        etcd_endpoint,
        **WITHOUT_HANDLERS,
    )
