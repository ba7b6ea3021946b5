"""A channel in a process: its event loop, forks, and that it writes nothing to stderr."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from channel_support import RANGE, WATCH, run_program

from etcd_channel import Channel, WrongEventLoopError
from etcd_testing.played import messages

GET = messages.RangeRequest(key=b"k")

# What each program begins with: a request of this package's own, which any etcd answers.
PREFACE = """
import asyncio, os, sys, warnings
from etcd_channel import Channel, ClientError, ClientForkedError, WrongEventLoopError, errors
from etcd_channel.pb import common_pb2 as pb
from etcd_channel.rpcs import AUTHENTICATE

endpoint = sys.argv[1]

async def ask(channel):
    "Returns when the server has answered: that it knows no users."
    try:
        await channel.call(AUTHENTICATE, pb.AuthenticateRequest(name="joe", password="word"))
    except errors.AuthNotEnabledError:
        return
    raise AssertionError("an answer was expected")

"""


async def strictly(source: str, endpoint: str, **env: str) -> None:
    """Run a program with all warnings as errors; it must print "done" and nothing on stderr."""
    finished = await run_program(PREFACE + source, endpoint, env=env)
    assert finished.stderr == ""
    assert finished.stdout == "done\n"
    assert finished.returncode == 0


# Silence -------------------------------------------------------------------------------


async def test_a_program_that_calls_and_closes_writes_nothing_to_stderr(etcd_endpoint: str) -> None:
    await strictly(
        """
async def main():
    async with Channel(endpoint) as channel:
        await asyncio.gather(*(ask(channel) for _ in range(20)))
    assert len(asyncio.all_tasks()) == 1

asyncio.run(main(), debug=True)
print("done")
""",
        etcd_endpoint,
    )


async def test_a_program_that_cancels_and_closes_calls_writes_nothing_to_stderr(
    etcd_endpoint: str,
) -> None:
    await strictly(
        """
async def main():
    channel = Channel(endpoint)
    tasks = [asyncio.create_task(ask(channel)) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await channel.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results[::2]:
        assert isinstance(result, asyncio.CancelledError), result
    for result in results[1::2]:
        # A busy machine may have had the answer before the close.
        assert result is None or isinstance(result, errors.ClientClosedError), result
    assert len(asyncio.all_tasks()) == 1

asyncio.run(main(), debug=True)
print("done")
""",
        etcd_endpoint,
    )


async def test_an_outage_writes_nothing_to_stderr_without_logging(etcd_endpoint: str) -> None:
    await strictly(
        """
from etcd_channel import Rpc

class Handler:
    breaks = 0
    def opened(self): return []
    def received(self, response): pass
    def broken(self, error):
        self.breaks += 1
        enough.set() if self.breaks == 3 else None
    def ended(self, error): pass

WATCH = Rpc("/etcdserverpb.Watch/Watch", pb.AuthenticateRequest, pb.AuthenticateResponse)

async def main():
    global enough
    enough = asyncio.Event()
    channel = Channel("127.0.0.1:1", connect_timeout=1, on_reconnect=lambda it: 1 / 0)
    channel.stream(WATCH, Handler())
    await enough.wait()
    try:
        await ask(channel)
    except (errors.ConnectionFailedError, errors.ConnectionTimeoutError):
        pass
    await channel.close()

asyncio.run(main(), debug=True)
print("done")
""",
        etcd_endpoint,
    )


async def test_a_process_may_use_several_event_loops_in_turn(etcd_endpoint: str) -> None:
    """gRPC reports the end of cancelled calls late; this must not raise in the next loop."""
    await strictly(
        """
import socket

async def give_up():
    channel = Channel(silent)
    try:
        await channel.call(AUTHENTICATE, pb.AuthenticateRequest(), timeout=0.01)
    except ClientError:
        pass
    await channel.close()

async def main():
    async with Channel(endpoint) as channel:
        await ask(channel)

with socket.socket() as listener:
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    silent = "127.0.0.1:%d" % listener.getsockname()[1]
    for _ in range(60):
        asyncio.run(give_up())
    asyncio.run(main())
print("done")
""",
        etcd_endpoint,
    )


async def test_importing_starts_nothing(etcd_endpoint: str) -> None:
    await strictly(
        """
import threading
Channel(endpoint)
assert threading.active_count() == 1
print("done")
""",
        etcd_endpoint,
    )


async def test_a_channel_that_was_never_used_need_not_be_closed(etcd_endpoint: str) -> None:
    await strictly("Channel(endpoint)\nprint('done')\n", etcd_endpoint)


async def test_a_program_that_ends_without_closing_is_warned_and_ends(etcd_endpoint: str) -> None:
    finished = await run_program(
        PREFACE
        + """
async def main():
    channel = Channel(endpoint)
    await ask(channel)
    del channel
    import gc
    gc.collect()

asyncio.run(main())
print("done")
""",
        etcd_endpoint,
        options=("-X", "dev", "-W", "always"),
    )
    assert finished.returncode == 0
    assert finished.stdout == "done\n"
    warned = [line for line in finished.stderr.splitlines() if "unclosed" in line]
    assert len(warned) == 1
    assert f"ResourceWarning: unclosed client of {etcd_endpoint}" in warned[0]


async def test_an_unclosed_channel_warns_when_it_is_deleted(etcd_endpoint: str) -> None:
    dropped = [Channel(etcd_endpoint)]
    await dropped[0].call(RANGE, GET)

    def drop() -> None:
        dropped.clear()
        gc.collect()

    with pytest.warns(ResourceWarning, match=r"unclosed client of 127.0.0.1:"):
        drop()


async def test_a_channel_whose_constructor_failed_does_not_warn() -> None:
    for wrong in ({"timeout": 0}, {"endpoints": "a:0"}, {"username": "u"}, {"tls": 1}):
        arguments: dict[str, Any] = wrong
        with pytest.raises((TypeError, ValueError)):
            Channel(**arguments)
    gc.collect()  # an exception in __del__ would be an error here


# One event loop --------------------------------------------------------------------------


def test_every_use_in_another_event_loop_is_refused(etcd_endpoint: str) -> None:
    class Silent:
        def opened(self) -> list[Any]:
            return []

        def received(self, response: Any) -> None: ...

        def broken(self, error: Any) -> None: ...

        def ended(self, error: Any) -> None: ...

    async def first() -> None:
        await channel.call(RANGE, GET)

    async def second() -> None:
        uses = (
            channel.call(RANGE, GET),
            channel.connect(),
            channel.download(RANGE, GET).__anext__(),
            channel.close(),
        )
        for use in uses:
            with pytest.raises(WrongEventLoopError, match="make one for each loop"):
                await use
        with pytest.raises(WrongEventLoopError):
            channel.stream(WATCH, Silent())

    channel = Channel(etcd_endpoint)
    asyncio.run(first())
    asyncio.run(second())


async def test_a_loop_in_another_thread_can_neither_use_nor_close_a_channel(
    etcd_endpoint: str,
) -> None:
    async def use() -> None:
        with pytest.raises(WrongEventLoopError):
            await channel.call(RANGE, GET)
        with pytest.raises(WrongEventLoopError):
            await channel.close()

    async with Channel(etcd_endpoint) as channel:
        await asyncio.to_thread(lambda: asyncio.run(use()))
        # And it goes on where it belongs.
        assert not channel.closed
        await channel.call(RANGE, GET)
    assert channel.closed


def test_a_closed_channel_is_closed_in_every_other_loop(etcd_endpoint: str) -> None:
    async def first() -> None:
        await channel.call(RANGE, GET)
        await channel.close()

    channel = Channel(etcd_endpoint)
    asyncio.run(first())
    asyncio.run(channel.close())
    assert channel.closed


def test_a_channel_may_be_constructed_without_a_running_loop(etcd_endpoint: str) -> None:
    async def use() -> None:
        async with channel:
            await channel.call(RANGE, GET)

    channel = Channel(etcd_endpoint)
    asyncio.run(use())


# Forks -----------------------------------------------------------------------------------


async def test_a_forked_child_is_refused_and_its_parent_continues(etcd_endpoint: str) -> None:
    await strictly(
        # gRPC's own handlers say on stderr that they do nothing at this fork.
        """
async def refused():
    for use in (ask(channel), channel.connect(), channel.__aenter__()):
        try:
            await use
        except ClientForkedError as error:
            assert "close every client before the fork" in str(error)
            assert error.definite
        else:
            raise AssertionError("the child's use was expected to be refused")
    await channel.close()

def child():
    asyncio.run(refused())

async def main():
    await ask(channel)
    # Python warns of forks where there are threads, of which gRPC has some.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            # The parent's loop is not the child's.
            asyncio.events._set_running_loop(None)
            child()
            status = 0
        except BaseException as error:
            os.write(2, repr(error).encode())
        finally:
            os._exit(status)
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        await asyncio.sleep(0.01)
    assert os.waitstatus_to_exitcode(status) == 0
    await asyncio.gather(*(ask(channel) for _ in range(5)))
    await channel.close()

channel = Channel(endpoint)
asyncio.run(main())
print("done")
""",
        etcd_endpoint,
        GRPC_ENABLE_FORK_SUPPORT="0",
    )


async def test_a_child_process_may_use_an_unused_channel(etcd_endpoint: str) -> None:
    """As in a server that forks workers: the channel is made before, and used in each."""
    await strictly(
        """
import multiprocessing

def work():
    async def main():
        async with channel, Channel(endpoint) as own:
            await ask(channel)
            await ask(own)
    asyncio.run(main())

channel = Channel(endpoint)
if __name__ == "__main__":
    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    print("done")
""",
        etcd_endpoint,
    )
