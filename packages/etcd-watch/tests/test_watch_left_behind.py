"""Watches leave nothing behind: no task, no watcher, no output on stderr, no memory."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from watch_model import make_stream
from watch_support import HANG, streams, until, watchers

from etcd_channel import ClientError, ConnectionFailedError
from etcd_testing import EtcdServer
from etcd_watch._subscription import Subscription
from etcd_watch.requests import WatchSpec

# The start of every program: Python and asyncio at their strictest, debug mode included.
OPTIONS = ("-X", "dev", "-W", "error")
BEGINNING = f"""
import asyncio, contextlib, gc, sys, urllib.request
sys.path.insert(0, {str(Path(__file__).parent)!r})
from watch_support import *
from etcd_channel import Channel, ClientError
from etcd_testing import FaultProxy
from etcd_watch import *

async def nothing_is_left():
    for _ in range(5):
        await asyncio.sleep(0)
    gc.collect()
    left = asyncio.all_tasks() - {{asyncio.current_task()}}
    assert not left, left
    assert not gc.garbage

async def program():
    # On a busy machine asyncio's debug mode logs every iteration of the loop.
    asyncio.get_running_loop().slow_callback_duration = 1000
    reports = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))
    await main(*sys.argv[1:])
    await nothing_is_left()
    assert not reports, reports
"""


async def run(source: str, *arguments: str) -> str:
    """Run a program that must write nothing to stderr; return its stdout."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *OPTIONS,
        "-c",
        f"{BEGINNING}\n{source}\nasyncio.run(program())",
        *arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"},
    )
    try:
        stdout, stderr = await asyncio.wait_for(process.communicate(), HANG)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert stderr.decode() == ""
    assert process.returncode == 0
    return stdout.decode()


async def nobody_is_left(server: EtcdServer) -> None:
    await until(lambda: watchers(server), lambda count: count == 0)
    await until(lambda: streams(server), lambda count: count == 0)


async def test_after_everything_that_watches_do_nothing_is_left(
    server: EtcdServer, key_prefix: bytes
) -> None:
    await run(
        """
async def main(endpoint, prefix):
    prefix = prefix.encode()
    async with FaultProxy(endpoint) as proxy, connect(proxy.endpoint) as (client, writer, channel):
        held = [await client.watch_prefix(prefix) for _ in range(70)]
        slow = await client.watch_prefix(prefix, buffer_bytes=1)
        start = await writer.put(prefix, b"1")
        async for event in client.watch(prefix, start_revision=start):
            break
        with contextlib.suppress(WatchTimeoutError):
            await client.watch_once(prefix, timeout=0.05)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(client.watch_once(prefix), 0.05)
        with contextlib.suppress(ClientError):
            await client.watch(prefix, range_end=prefix)
        with contextlib.suppress(ValueError):
            async with client.watch(prefix, watch_id=5), client.watch(prefix, watch_id=5):
                pass
        watcher = Watcher(client)
        def fail(event):
            raise RuntimeError("in the callback")
        await watcher.add_callback(prefix, fail)
        for _ in range(3):
            proxy.cut()
            async with Channel(endpoint) as direct:
                await Writer(direct).put(prefix, b"2")
            await read(held[0], 1)
            await held[0].request_progress()
        proxy.refuse()
        proxy.cut()
        await asyncio.sleep(0.1)
        if "shut down" in sys.argv:
            await watcher.shutdown()
""",
        server.endpoint,
        key_prefix.decode(),
    )
    await nobody_is_left(server)


async def test_a_program_that_ends_in_the_middle_writes_nothing_to_stderr(
    server: EtcdServer, key_prefix: bytes
) -> None:
    await run(
        """
async def main(endpoint, prefix):
    prefix = prefix.encode()
    async with connect(endpoint) as (client, writer, channel):
        watch = await client.watch(prefix)
        async def read_all():
            async for event in watch:
                pass
        reading = asyncio.create_task(read_all())
        beginning = [asyncio.create_task(client.watch_once(prefix)) for _ in range(3)]
        await asyncio.sleep(0)
    ended = await asyncio.gather(reading, *beginning, return_exceptions=True)
    assert all(isinstance(error, ClientError) for error in ended), ended
""",
        server.endpoint,
        key_prefix.decode(),
    )
    await nobody_is_left(server)


async def test_cancellation_at_any_moment_leaves_nothing_and_loses_nothing(
    server: EtcdServer, key_prefix: bytes
) -> None:
    # Every form is cancelled after each number of loop iterations that it may take; an event that
    # the cancelled task did not get goes to the next.
    await run(
        """
async def main(endpoint, prefix, metrics):
    prefix = prefix.encode()
    async with connect(endpoint, keepalive_timeout=60) as (client, writer, channel):
        kept = await client.watch(prefix + b"kept")
        told = []
        async def enter():
            async with client.watch(prefix):
                await asyncio.sleep(60)
        async def iterate():
            async for event in client.watch(prefix):
                pass
        async def read_kept():
            while True:
                told.append((await kept.__anext__()).kv.value)
        async def read_responses():
            async for response in kept.responses():
                told.extend(event.kv.value for event in response.events)
        async def progress():
            watch = client.watch(prefix)
            await watch.request_progress()
            async for response in watch.responses():
                if response.is_progress:
                    await asyncio.sleep(60)
        async def call_back():
            watcher = Watcher(channel)
            try:
                await watcher.add_callback(prefix, print)
                await asyncio.sleep(60)
            finally:
                await watcher.shutdown()
        forms = [
            lambda: client.watch(prefix).__aenter__(), enter, iterate, read_kept, read_responses,
            progress, call_back, lambda: client.watch_once(prefix), lambda: writer.put(prefix),
            lambda: client.watch_prefix_once(prefix, timeout=30),
        ]
        puts = []
        for turns in range(20):
            for form in forms:
                task = asyncio.ensure_future(form())
                puts.append(b"%d" % len(puts))
                put = asyncio.ensure_future(writer.put(prefix + b"kept", puts[-1]))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task, put])
                assert task.cancelled() or not task.exception(), task.exception()
                put.result()
                del task
        reading = asyncio.ensure_future(read_kept())
        while len(told) < len(puts):
            await asyncio.sleep(0.01)
        reading.cancel()
        await asyncio.wait([reading])
        assert told == puts
        await kept.cancel()
        gc.collect()
        # While the channel is still open.
        def look():
            with urllib.request.urlopen(metrics + "/metrics") as page:
                return b"etcd_debugging_mvcc_watcher_total 0\\n" in page.read()
        await until(lambda: asyncio.to_thread(look), bool)
""",
        server.endpoint,
        key_prefix.decode(),
        server.metrics_url,
    )
    await nobody_is_left(server)


async def test_a_slow_reader_does_not_make_memory_grow(
    server: EtcdServer, key_prefix: bytes
) -> None:
    # 40 MB of events for a reader that reads a few of them: without a bound all would be buffered.
    grown = await run(
        """
def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096

async def main(endpoint, prefix):
    prefix = prefix.encode()
    async with connect(endpoint) as (client, writer, channel):
        async def write(count):
            for _ in range(count):
                await writer.put_together(*((prefix + b"%d" % i, bytes(2000)) for i in range(100)))
        slow = await client.watch_prefix(prefix, buffer_bytes=1_000_000)
        fast = await client.watch_prefix(prefix)
        async def read_fast(count):
            seen = 0
            async for response in fast.responses():
                seen += len(response.events)
                if seen == count:
                    break
        await asyncio.gather(write(20), read_fast(2000))
        gc.collect()
        before = resident()
        await asyncio.gather(write(200), read_fast(20_000))
        gc.collect()
        grown = resident() - before
        seen = 0
        async for response in slow.responses():
            seen += len(response.events)
            if seen == 22_000:
                break
        print(grown)
""",
        server.endpoint,
        key_prefix.decode(),
    )
    await nobody_is_left(server)
    assert int(grown) < 20_000_000


async def test_the_events_of_a_watch_that_ended_do_not_wait_for_the_garbage_collector(
    server: EtcdServer, key_prefix: bytes
) -> None:
    # A few objects hold megabytes; so few would not trigger the garbage collector for long.
    await run(
        """
async def main(endpoint, prefix):
    prefix = prefix.encode()
    async with connect(endpoint) as (client, writer, _):
        start = await writer.put_together((prefix, b""), (prefix + b"2", b""))
        async def cancel():
            async with client.watch_prefix(prefix, start_revision=start) as watch:
                async for event in watch:
                    break
        async def drop():
            async for event in client.watch_prefix(prefix, start_revision=start):
                break
        async def give_up():
            with contextlib.suppress(WatchTimeoutError):
                await client.watch_once(prefix, timeout=0.01)
        gc.collect()
        gc.disable()
        for end in cancel, drop, give_up:
            await end()
        await asyncio.sleep(0)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        gc.set_debug(0)
        ours = [each for each in gc.garbage if type(each).__module__.startswith("etcd_watch")]
        gc.garbage.clear()
        assert not ours, ours
""",
        server.endpoint,
        key_prefix.decode(),
    )


def test_the_reasons_of_breaks_and_of_the_end_are_kept_without_frames() -> None:
    watches, stream = make_stream()
    subscription = Subscription(WatchSpec(b"k"), lambda: None)
    watches.add(subscription)
    cause = ValueError("of gRPC")

    def raised() -> ClientError:
        try:
            raise ConnectionFailedError("refused", endpoint="a:1") from cause
        except ClientError as error:
            return error

    error = raised()
    stream.break_(error)
    kept = watches.last_error
    stream.end(error)
    for found in (kept, subscription.error):
        assert isinstance(found, ConnectionFailedError)
        assert found.__traceback__ is None
        assert (found.message, found.endpoint, found.__cause__) == ("refused", "a:1", cause)
    # Others may have got the same error.
    assert error.__traceback__ is not None
