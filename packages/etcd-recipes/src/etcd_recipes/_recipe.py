"""The base class of the recipes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from etcd_channel import ChannelLike, NonCopyable, Service, channel_of
from etcd_channel.tasks import log_errors
from etcd_kv import KVClient
from etcd_lease import LeaseClient
from etcd_recipes._waiting import time_is_up
from etcd_watch import WatchClient

__all__ = ["Recipe"]

T = TypeVar("T")

_log = logging.getLogger("etcd_recipes")


class Recipe(NonCopyable):
    """A recipe on the channel of a client, with the services that it is made of."""

    def __init__(self, client: ChannelLike | Service) -> None:
        self._channel = channel_of(client)
        self._kv = KVClient(self._channel)
        self._leases = LeaseClient(self._channel)
        self._watches = WatchClient(self._channel)

    @property
    def channel(self) -> ChannelLike:
        """The channel of the recipe's calls."""
        return self._channel

    async def _or_undo(
        self,
        work: Coroutine[Any, Any, T | None],
        undo: Callable[[T], Coroutine[Any, Any, object]],
    ) -> T | None:
        """Await `work` to its end and return its result; if cancelled meanwhile, undo the result.

        None is not undone. The cancellation is raised at the end; a failure to undo is logged. If
        the time of the call is up and there is a result other than None, or an error, the
        cancellation is not raised: the result or the error counts.
        """
        done: list[T | None] = []
        failed: list[Exception] = []

        async def keep() -> None:
            try:
                done.append(await work)
            except Exception as error:
                failed.append(error)

        try:
            await self._channel.run_to_completion(keep())
        except asyncio.CancelledError as cancellation:
            results = [result for result in done if result is not None]
            if not (time_is_up() and (failed or results)):
                for error in failed:
                    _log.warning("a call that was cancelled failed: %s", repr(error))
                for result in results:
                    await self._channel.run_to_completion(log_errors(undo(result)), cancellation)
                raise
        if failed:
            raise failed.pop()
        return done[0]
