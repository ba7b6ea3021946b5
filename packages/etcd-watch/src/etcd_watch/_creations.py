"""The creations of watches on a stream: when each is sent, and which one an answer is for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from etcd_watch._subscription import Subscription

__all__ = ["Creation", "Creations"]

# The bounds, in seconds, of the time that etcd's grpc-proxy gets to answer a creation.
_MIN_ANSWER_TIME = 1.0
_MAX_ANSWER_TIME = 30.0
# And at most for a watch that was not answered again and again.
_LONGEST_ANSWER_TIME = 300.0


class Creation(NamedTuple):
    """A watch that the server was asked to create."""

    watch_id: int
    subscription: Subscription
    with_fresh_token: bool
    progress_requests: int
    """How many progress requests were sent before it."""


class Creations:
    """The creations of a stream that are not answered, in order: some are sent, others wait.

    A member answers the creations of a stream in order, so all are sent at once. etcd's grpc-proxy
    does not, and it assigns IDs of its own, so nothing in an answer tells which creation it is for.
    Through it, a creation is sent when the one before was answered, also if that watch has been
    canceled meanwhile. `on_silence` is called if no answer comes.

    `timeout` is the number of seconds that the creation of a watch may take. The proxy gets half of
    it, and at least a second: then the watches that wait behind a silent one are created, as the
    silent one is created last from then on. It gets twice as long each time.
    """

    def __init__(self, timeout: float, on_silence: Callable[[Subscription], None]) -> None:
        self._answer_time = min(max(timeout / 2, _MIN_ANSWER_TIME), _MAX_ANSWER_TIME)
        self._on_silence = on_silence
        self._sent: deque[Creation] = deque()
        # Watches to be created after those, and whether that is part of opening the stream.
        self._waiting: deque[tuple[Subscription, bool]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __iter__(self) -> Iterator[Subscription]:
        """All watches whose creation is not answered."""
        yield from (creation.subscription for creation in self._sent)
        yield from (subscription for subscription, _ in self._waiting)

    def add(self, subscription: Subscription, *, opening: bool = False) -> None:
        """Add a watch to be created after the others."""
        self._waiting.append((subscription, opening))

    def take_next(self, *, through_proxy: bool) -> tuple[Subscription, bool] | None:
        """Return the next watch to be created now, and whether it is part of opening the stream."""
        if not self._waiting or (through_proxy and self._sent):
            return None
        return self._waiting.popleft()

    def sent(self, creation: Creation, *, through_proxy: bool) -> None:
        """Record that a creation was sent."""
        self._sent.append(creation)
        if through_proxy:
            loop = asyncio.get_running_loop()
            subscription = creation.subscription
            seconds = self.answer_time(subscription)
            self._timer = loop.call_later(seconds, self._on_silence, subscription)

    def answer_time(self, subscription: Subscription) -> float:
        """Return the seconds that the proxy gets to answer the creation of a watch."""
        times = 1 << min(subscription.unanswered, 10)
        return min(self._answer_time * times, _LONGEST_ANSWER_TIME)

    def answered(self) -> Creation | None:
        """Return the creation that an answer is for; None if none was sent."""
        if not self._sent:
            return None
        self._stop_timer()
        return self._sent.popleft()

    def clear(self) -> None:
        """Forget all: the stream is gone."""
        self._stop_timer()
        self._sent.clear()
        self._waiting.clear()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
