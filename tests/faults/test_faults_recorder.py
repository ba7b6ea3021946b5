"""What the programme notes of a watch, by a real etcd."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from programme.follower import Follower
from programme.history import History, Watched
from programme.judges import JUDGES
from programme.recorder import Clock, Recorder
from programme.replay import Replay
from programme.traffic import KEYS

from etcd_client import Client, Watch
from etcd_testing import EtcdServer, FaultProxy


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(History(), Clock())


async def until(happened: Callable[[], object]) -> None:
    while not happened():  # noqa: ASYNC110  # a record is no event
        await asyncio.sleep(0.01)


def events(watched: Watched) -> int:
    return sum(len(response.events) for response in watched.responses)


async def test_a_watch_that_ends_by_itself_is_told_from_one_that_is_stopped(
    recorder: Recorder, etcd_endpoint: str, key_prefix: bytes
) -> None:
    async with Client(endpoints=etcd_endpoint) as client:
        made: list[Watch] = []

        def make(start: int) -> Watch:
            made.append(client.watch_prefix(key_prefix))
            return made[-1]

        stopped, ended = (Watched("c", "", True, 0, 0.0) for _ in range(2))
        stop = asyncio.Event()
        recording = asyncio.create_task(recorder.watch(stopped, make, stop.wait))
        await until(lambda: stopped.start)
        stop.set()
        await recording
        recording = asyncio.create_task(recorder.watch(ended, make, asyncio.Event().wait))
        await until(lambda: ended.start)
        await made[-1].cancel()
        await recording
    assert stopped.end == "cancelled"
    assert ended.end == "an end without an error"
    history = recorder.history
    assert len(JUDGES["watches"](history, Replay(history)).problems) == 1


async def test_a_follower_goes_on_over_breaks_and_compactions_until_its_last_event(
    recorder: Recorder,
) -> None:
    key = KEYS[0].encode()
    async with EtcdServer() as server, FaultProxy(server.endpoint) as proxy:
        async with (
            Client(endpoints=proxy.endpoint) as client,
            Client(endpoints=server.endpoint) as direct,
        ):
            follower = Follower("follower", client, recorder)
            following = asyncio.create_task(follower.run())
            watches = recorder.history.watches
            await until(lambda: watches and watches[0].start)
            for _ in range(3):
                proxy.cut()
                await direct.put(key, b"")
            await until(lambda: events(watches[0]) == 3)
            proxy.refuse()
            proxy.cut()
            await direct.put(key, b"")
            await direct.compact((await direct.put(key, b"")).header.revision)
            proxy.heal()
            await until(lambda: len(watches) == 2 and watches[1].start)
            await follower.stop((await direct.put(key, b"")).header.revision)
            await following
    assert [watch.end for watch in watches] == ["compacted", "cancelled"]
    assert [events(watch) for watch in watches] == [3, 1]


async def test_a_follower_that_does_not_get_its_last_event_is_silent(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("programme.follower._LONGEST", 0.3)
    async with EtcdServer() as server, Client(endpoints=server.endpoint) as client:
        follower = Follower("follower", client, recorder)
        following = asyncio.create_task(follower.run())
        await until(lambda: recorder.history.watches and recorder.history.watches[0].start)
        last = await client.put(b"of another prefix", b"")
        await follower.stop(last.header.revision)
        await following
    history = recorder.history
    [problem] = JUDGES["watches"](history, Replay(history)).problems
    assert problem.startswith("complete: ")
    assert "silence" in problem
