"""The truth: a watch on each member from revision 1, without the client under test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import grpc
import grpc.aio

from etcd_testing import EtcdServer
from etcd_watch.pb import watch_pb2 as pb
from programme.history import Event, History

__all__ = ["Truth"]

_PAUSE = 0.05
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.use_local_subchannel_pool", 1),
]


class Truth:
    """Watches every key on every member, without a proxy between, and puts it into a history."""

    def __init__(
        self, members: list[EtcdServer], history: History, clock: Callable[[], float]
    ) -> None:
        self._history = history
        self._clock = clock
        self._members = members
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self.position: dict[str, int] = {member.name: 0 for member in members}
        """The last revision that each member has reported."""

    async def __aenter__(self) -> Truth:
        self._tasks = [asyncio.create_task(self._follow(member)) for member in self._members]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def until(self, revision: int) -> None:
        """Wait until every member has reported a revision."""
        while min(self.position.values()) < revision:
            self._changed.clear()
            await self._changed.wait()
            for task in self._tasks:
                if task.done():
                    task.result()

    async def _follow(self, member: EtcdServer) -> None:
        following = 1
        while True:
            async with grpc.aio.insecure_channel(member.endpoint, options=_OPTIONS) as channel:
                call = channel.stream_stream(
                    "/etcdserverpb.Watch/Watch",
                    request_serializer=pb.WatchRequest.SerializeToString,
                    response_deserializer=pb.WatchResponse.FromString,
                )()
                try:
                    create = pb.WatchCreateRequest(
                        key=b"\0", range_end=b"\0", start_revision=following
                    )
                    await call.write(pb.WatchRequest(create_request=create))
                    while isinstance(response := await call.read(), pb.WatchResponse):
                        if response.canceled:
                            following = max(following, response.compact_revision)
                            break
                        following = self._take(member.name, response, following)
                except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    pass  # The member is down, or was.
                finally:
                    call.cancel()
            await asyncio.sleep(_PAUSE)

    def _take(self, member: str, response: pb.WatchResponse, following: int) -> int:
        now = self._clock()
        for event in response.events:
            kv = event.kv
            if kv.mod_revision < following:
                continue  # A member that came back may repeat itself (etcd issue 15271).
            put = event.type == pb.Event.PUT
            self._history.add(
                Event(
                    member,
                    kv.mod_revision,
                    kv.key.decode("latin-1"),
                    kv.value.decode("latin-1") if put else None,
                    kv.create_revision,
                    kv.version,
                    kv.lease,
                    now,
                )
            )
        if response.events:
            following = response.events[-1].kv.mod_revision + 1
            self.position[member] = following - 1
            self._changed.set()
        return following
