"""Turns: what lets the tasks of one process wait for each other before they bother etcd."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque

from etcd_channel import Channel

__all__ = ["Turn", "Turns"]


class Turn:
    """Something that one task has at a time, in the order of asking.

    As `asyncio.Lock`, with a timeout that does not go by way of `asyncio.wait_for`: before
    Python 3.12 that loses what was acquired in the moment of a cancellation.
    """

    def __init__(self) -> None:
        self._taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self, timeout: float | None) -> bool:
        """Take the turn; False if it did not come within `timeout` seconds, None for ever."""
        if not self._taken:
            self._taken = True
            return True
        given = asyncio.get_running_loop().create_future()
        self._waiting.append(given)
        try:
            await asyncio.wait([given], timeout=timeout)
        except asyncio.CancelledError:
            if given.done():
                self.give()
            else:
                self._waiting.remove(given)
            raise
        if given.done():
            return True
        self._waiting.remove(given)
        return False

    def give(self) -> None:
        """Give the turn to who waited longest, if anybody waits."""
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self._taken = False


class Turns:
    """The turns at the keys that a channel's locks contend for.

    Each contender wakes when a lock is released, and all but one in vain. Of those that share
    a channel only the first in line contends at etcd, the others wait for it here.
    """

    def __init__(self, channel: Channel) -> None:
        self._turns: weakref.WeakValueDictionary[bytes, Turn] = weakref.WeakValueDictionary()

    def at(self, key: bytes) -> Turn:
        turn = self._turns.get(key)
        if turn is None:
            turn = self._turns[key] = Turn()
        return turn
