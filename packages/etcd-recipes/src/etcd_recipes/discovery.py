"""The endpoints of a service, as they are now."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing

from etcd_channel import ChannelLike, ClientError, ConnectionTimeoutError, Service
from etcd_channel.arguments import check_int, check_key, check_wait
from etcd_channel.errors import ClientClosedError
from etcd_recipes._following import follow
from etcd_recipes._recipe import Recipe
from etcd_recipes._waiting import within
from etcd_recipes.endpoint import Endpoint

__all__ = ["Discovery"]

_log = logging.getLogger("etcd_recipes")

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0


class Discovery(Recipe):
    """The live list of a service's endpoints: those of `Registration`, or of Go's endpoint manager.

    `async with` reads the list and follows it until the end of the block. It raises
    `ConnectionTimeoutError` if that takes longer than `timeout` seconds, None without limit.
    Keys whose value is not an endpoint are left out and logged. The name of an instance may have
    slashes, so the endpoints of a service `<service>/<more>` are in the list, too.

    Guaranteed: no change that lasts is missed, over breaks of the connection, compactions and
    outages; during one the list is as it was known last. `pick` gives each endpoint its turn. Not
    guaranteed: that an endpoint in the list answers, or that the list is up to date to the second.
    """

    def __init__(
        self, client: ChannelLike | Service, service: bytes, *, timeout: float | None = 30
    ) -> None:
        super().__init__(client)
        self.service = check_key("service", service)
        self.timeout = check_wait("timeout", timeout)
        self._prefix = self.service + b"/"
        self._endpoints: tuple[Endpoint, ...] = ()
        self._revision = 0
        self._turn = random.randrange(1 << 16)
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failure: ClientError | None = None
        # Why the last attempt to follow failed.
        self._error: ClientError | None = None
        # The keys that are left out, and were logged.
        self._refused: set[bytes] = set()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints in the order of their keys, as they are known now."""
        return self._endpoints

    @property
    def revision(self) -> int:
        """The revision of etcd's store that the list is from; 0 before the first one."""
        return self._revision

    def pick(self) -> Endpoint | None:
        """Return the next endpoint, each in its turn; None if there is none."""
        if not self._endpoints:
            return None
        self._turn += 1
        return self._endpoints[self._turn % len(self._endpoints)]

    def pick_random(self) -> Endpoint | None:
        """Return any endpoint; None if there is none."""
        return random.choice(self._endpoints) if self._endpoints else None

    async def wait(self, count: int = 1, *, timeout: float | None = None) -> bool:
        """Wait until there are `count` endpoints; return False if that took longer than `timeout`.

        None sets no limit, 0 does not wait. It returns False when the block ends. Raises
        `ValueError` outside of the block, and `ClientClosedError` when the client is closed.
        """
        number = check_int("count", count)
        seconds = check_wait("timeout", timeout)
        if seconds == 0 or len(self._endpoints) >= number:
            return len(self._endpoints) >= number
        return bool(await within(seconds, self._until(number)))

    async def _until(self, count: int) -> bool:
        async with aclosing(self.changes()) as changes:
            async for endpoints in changes:
                if len(endpoints) >= count:
                    return True
        return False

    async def changes(self) -> AsyncGenerator[tuple[Endpoint, ...], None]:
        """Iterate over the list: as it is now, then after each change.

        Changes that come while one is handled are yielded together. It ends with the block. Raises
        `ValueError` outside of the block, and `ClientClosedError` when the client is closed.
        """
        if self._task is None:
            raise ValueError(f"the service {self.service!r} is not followed: enter the block")
        while self._task is not None:
            if self._failure is not None:
                raise self._failure
            changed, seen = self._changed, self._endpoints
            yield seen
            if self._endpoints is seen and self._task is not None:
                await changed.wait()

    async def __aenter__(self) -> Discovery:
        if self._task is not None:
            raise ValueError(f"the service {self.service!r} is being followed already")
        self._failure, self._error, self._revision = None, None, 0
        changed = self._changed
        self._task = asyncio.create_task(self._follow(), name=f"discovery of {self.service!r}")
        try:
            if not await within(self.timeout, changed.wait()):
                raise ConnectionTimeoutError(
                    f"could not read the endpoints of {self.service!r} within {self.timeout} s"
                ) from self._error
            if self._failure is not None:
                raise self._failure
        except BaseException as error:
            await self._channel.run_to_completion(self._end(), error)
            raise
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._channel.run_to_completion(self._end(), error)

    async def _end(self) -> None:
        task, self._task = self._task, None
        self._wake()
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _follow(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                async with aclosing(follow(self._channel, self._prefix)) as states:
                    async for keys in states:
                        pause = _FIRST_PAUSE
                        self._refused.intersection_update(keys)
                        found = (self._parsed(key, keys[key].value) for key in sorted(keys))
                        self._take(tuple(each for each in found if each), keys.revision)
            except ClientClosedError as error:
                self._failure = error
                self._wake()
                return
            except ClientError as error:
                # The cause of a later error; its frames would keep the channel.
                self._error = error.with_traceback(None)
                _log.warning("the service %r cannot be followed: %s", self.service, str(error))
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _take(self, endpoints: tuple[Endpoint, ...], revision: int) -> None:
        first, self._revision = self._revision == 0, revision
        if endpoints != self._endpoints or first:
            self._endpoints = endpoints
            self._wake()

    def _parsed(self, key: bytes, value: bytes) -> Endpoint | None:
        endpoint = Endpoint.from_json(value, key)
        if endpoint is not None:
            self._refused.discard(key)
        elif key not in self._refused:
            self._refused.add(key)
            _log.warning("the value of the key %r is not an endpoint: it is left out", key)
        return endpoint

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"Discovery(service={self.service!r}, endpoints={len(self._endpoints)})"
