"""How a server can end a watch stream, by a server that is played."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from etcd_client import Client, ClientError
from etcd_testing.played import PlayedEtcd, messages
from programme.connecting import connected
from programme.history import Scenario

__all__ = ["ends_of_streams", "goaway"]

_LONG = 60.0
_HEADER = {"cluster_id": 1, "member_id": 1, "raft_term": 1}

End = Callable[[Any], Awaitable[None]]


async def _eof(context: Any) -> None:
    pass


async def _no_leader(context: Any) -> None:
    await context.abort(grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")


async def _aborted(context: Any) -> None:
    await context.abort(grpc.StatusCode.INTERNAL, "stream terminated by RST_STREAM")


async def _all_cancelled(context: Any) -> None:
    await context.write(
        messages.WatchResponse(header={**_HEADER, "revision": 2}, watch_id=-1, canceled=True)
    )
    await asyncio.Event().wait()  # The client has to go.


ENDS: tuple[End, ...] = (_eof, _no_leader, _aborted, _all_cancelled)
_FIRST = 2


class _Played(PlayedEtcd):
    """Each watch stream delivers one revision and ends."""

    def __init__(self, ends: tuple[End, ...]) -> None:
        super().__init__({"Watch.Watch": self._watch})
        self._ends = ends
        self.ended = 0

    async def _watch(self, requests: AsyncIterator[Any], context: Any) -> None:
        async for request in requests:
            if not request.HasField("create_request"):
                continue
            create = request.create_request
            revision = create.start_revision or _FIRST
            header = {**_HEADER, "revision": revision}
            created = messages.WatchResponse(
                header={
                    **_HEADER,
                    "revision": _FIRST - 1 if not create.start_revision else revision,
                },
                watch_id=create.watch_id,
                created=True,
            )
            await context.write(created)
            pair = messages.KeyValue(
                key=b"k", mod_revision=revision, create_revision=_FIRST, version=revision - 1
            )
            event = messages.Event(type="PUT", kv=pair)
            response = messages.WatchResponse(
                header=header, watch_id=create.watch_id, events=[event]
            )
            await context.write(response)
            if self.ended < len(self._ends):
                self.ended += 1
                await self._ends[self.ended - 1](context)
                return


async def ends_of_streams(scenario: Scenario) -> None:
    """A watch continues behind its last event however its stream ends."""
    async with _Played(ENDS) as server, connected([server.endpoint]) as client:
        await _read_through(scenario, client, len(ENDS) + 1)
        scenario.times += server.ended


async def goaway(scenario: Scenario) -> None:
    """A watch continues when its server says that it goes, which is GOAWAY, and comes back."""
    async with _Played(()) as server, connected([server.endpoint]) as client:

        async def restart() -> None:
            await server.stop(0.2)
            await server.start()
            scenario.times += 1

        await _read_through(scenario, client, 3, restart)


async def _read_through(
    scenario: Scenario,
    client: Client,
    count: int,
    between: Callable[[], Awaitable[None]] | None = None,
) -> None:
    seen: list[int] = []
    try:
        async with client.watch(b"k") as watch:
            while len(seen) < count:
                event = await asyncio.wait_for(watch.__anext__(), _LONG)
                seen.append(event.kv.mod_revision)
                if between is not None and len(seen) < count:
                    await between()
    except asyncio.TimeoutError:
        scenario.problems.append(f"silent: no event after those of {seen}")
    except ClientError as error:
        scenario.problems.append(f"ended by {error!r}")
    scenario.operations += len(seen)
    if len(set(seen)) < len(seen):
        scenario.problems.append(f"repeated: events of {seen}")
    if seen and set(seen) != set(range(_FIRST, _FIRST + len(seen))):
        scenario.problems.append(f"silent: events are missing between those of {seen}")
