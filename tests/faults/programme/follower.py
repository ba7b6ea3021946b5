"""A watch that lives as long as the run, over all its faults."""

from __future__ import annotations

import asyncio

from etcd_client import Client, Watch
from programme.history import Watched
from programme.recorder import Recorder
from programme.traffic import PREFIX

__all__ = ["Follower"]

_LOOK_EVERY = 0.1
_LONGEST = 120.0
"""Seconds without faults after which a watch that delivers nothing is silent."""


class Follower:
    """Follows all keys of the traffic by one watch, and by another if its history is compacted.

    The watches of etcd's own tests live for half a second, and few of them have to resume. This one
    resumes at each fault of its member.
    """

    def __init__(self, name: str, client: Client, recorder: Recorder) -> None:
        self._name = name
        self._client = client
        self._recorder = recorder
        self._stopped = asyncio.Event()
        self._watched = self._new()

    async def run(self) -> None:
        """Follow until stopped."""
        while not self._stopped.is_set():
            self._watched = self._new()
            await self._recorder.watch(self._watched, self._watch, self._stopped.wait)

    async def stop(self, revision: int) -> None:
        """Stop when everything up to a revision has come, of which the traffic has an event."""
        for _ in range(round(_LONGEST / _LOOK_EVERY)):
            if self._position >= revision:
                break
            await asyncio.sleep(_LOOK_EVERY)
        else:
            self._watched.end = f"silence: {self._position} came, and {revision} did not"
        self._stopped.set()

    @property
    def _position(self) -> int:
        """The revision that it has come to: that of its last event, or that it began behind."""
        responses = reversed(self._watched.responses)
        last = next((each.events[-1].revision for each in responses if each.events), 0)
        return max(self._watched.start - 1, last)

    def _new(self) -> Watched:
        return Watched(self._name, PREFIX, True, 0, self._recorder.clock(), previous=True)

    def _watch(self, start: int) -> Watch:
        return self._client.watch_prefix(
            PREFIX.encode(), start_revision=start or None, prev_kv=True, progress_notify=True
        )
