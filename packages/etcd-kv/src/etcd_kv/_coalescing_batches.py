"""Sends concurrent calls of one kind in batches, each as one transaction."""

from __future__ import annotations

import asyncio
import copy
import math
from asyncio import get_running_loop
from collections import deque
from contextvars import Context
from itertools import chain
from typing import Any, Final, TypeVar

from etcd_channel import ChannelLike, ClientError
from etcd_channel.arguments import check_timeout
from etcd_channel.errors import (
    AuthFailedError,
    AuthNotEnabledError,
    AuthOldRevisionError,
    ClientClosedError,
    ClientForkedError,
    ClusterIDMismatchError,
    ConnectionFailedError,
    ConnectionTimeoutError,
    DataLossError,
    EmptyUserNameError,
    InvalidClientVersionError,
    NotLeaderError,
    TooManyRequestsError,
    UnauthenticatedError,
    UserNotFoundError,
    WrongEventLoopError,
)
from etcd_kv._bulk_limits import BulkLimits
from etcd_kv._coalescing_kinds import Kind
from etcd_kv._coalescing_versions import SafeMembers
from etcd_kv._encoding import transaction_of

__all__ = ["Coalescer"]

ErrorT = TypeVar("ErrorT", bound=Exception)

# The number of requests of one kind in flight from which on further calls wait.
_IN_FLIGHT: Final = 4
# Seconds. A timeout of 0 is not valid for a call.
_SHORTEST_TIMEOUT: Final = 0.001
# Seconds. The loop calls a timer up to a tick of its clock too early.
_RESOLUTION: Final = 0.001
# Errors that concern every call of a batch alike, because they are about the client, its user, the
# member or the cluster: smaller batches would fail as well. All others may concern one operation,
# those of newer servers and of views included, or only the transaction, as a learner's refusal.
_COMMON_ERRORS: Final = (
    AuthFailedError,
    AuthNotEnabledError,
    AuthOldRevisionError,
    ClientClosedError,
    ClientForkedError,
    ClusterIDMismatchError,
    ConnectionFailedError,
    ConnectionTimeoutError,
    DataLossError,
    EmptyUserNameError,
    InvalidClientVersionError,
    NotLeaderError,
    TooManyRequestsError,
    UnauthenticatedError,
    UserNotFoundError,
    WrongEventLoopError,
)


class _Call:
    """A call that waits for its response."""

    __slots__ = ("alone", "batch", "deadline", "key", "operation", "request", "waiter")

    def __init__(
        self,
        key: bytes,
        operation: bytes,
        request: Any,
        deadline: float,
        waiter: asyncio.Future[Any],
    ) -> None:
        self.key = key
        self.operation = operation
        self.request = request
        """The request if the call returns a response, and None if it returns a result."""
        self.deadline = deadline
        self.waiter = waiter
        self.batch: _Batch | None = None
        self.alone = False
        """Whether the call sends its own request; it does so when `waiter` is done."""


class _Batch:
    """The calls of one shared transaction, which is in flight."""

    __slots__ = ("calls", "completed", "task", "waiting")

    def __init__(self, calls: list[_Call]) -> None:
        self.calls = calls
        self.waiting = len(calls)
        """The number of calls that still wait for the transaction."""
        self.completed = False
        """Whether the transaction no longer counts as in flight."""
        self.task: asyncio.Task[None] | None = None


class Coalescer:
    """Sends the calls of one kind.

    A call is sent immediately and alone if nothing is in flight and the call before it was sent
    alone too. Otherwise it is sent together with the other calls of the same iteration of the
    event loop. While `_IN_FLIGHT` requests are in flight, calls wait, and later ones join them.
    """

    def __init__(self, channel: ChannelLike, kind: Kind, members: SafeMembers) -> None:
        self._channel = channel
        # The members to which transactions of this kind may be sent; None means all members.
        self._members = None if kind.writes else members
        self._kind = kind
        self._limits = BulkLimits(channel, None, None)
        self._timeout = channel.timeout
        self._loop: asyncio.AbstractEventLoop | None = None
        # A batch has several callers, so it does not run in the context of any of them.
        self._context = Context()
        self._waiting: deque[_Call] = deque()
        # The halves of batches that were refused; they are sent before the waiting calls.
        self._split: deque[list[_Call]] = deque()
        self._in_flight = 0
        self._batches: set[_Batch] = set()
        self._scheduled = False
        self._alone_before = True
        self._timer: asyncio.TimerHandle | None = None
        self._check_at = math.inf

    async def call(
        self, key: bytes, operation: bytes, timeout: float | None, request: Any = None
    ) -> Any:
        """Execute an operation on a key, alone or with others.

        Returns the response to `request`, which the operation has, or the result of the kind if
        it is None.
        """
        channel, loop = self._channel, get_running_loop()
        if timeout is not None:
            timeout = check_timeout("timeout", timeout)
        if not self._waiting or loop is not self._loop:
            channel.check_usable()
            self._loop = loop
        members = self._members
        if members is not None and not members.safe and not members.check():
            return await self._call_alone(operation, timeout, request)
        if self._alone_before and not self._in_flight and not self._waiting:
            self._in_flight = 1
            try:
                return await self._call_alone(operation, timeout, request)
            finally:
                self._completed()
        deadline = loop.time() + (self._timeout if timeout is None else timeout)
        call = _Call(key, operation, request, deadline, loop.create_future())
        self._waiting.append(call)
        if not self._scheduled and self._in_flight < _IN_FLIGHT:
            self._scheduled = True
            loop.call_soon(self._send, context=self._context)
        if deadline < self._check_at:
            self._set_timer(deadline)
        try:
            result = await call.waiter
            if call.alone:
                timeout = max(deadline - loop.time(), _SHORTEST_TIMEOUT)
                return await self._call_alone(operation, timeout, request)
            return result
        except asyncio.CancelledError:
            if call.waiter.done() and not call.waiter.cancelled():
                call.waiter.exception()  # so that asyncio does not report it as never retrieved
            self._abandoned(call)
            raise
        finally:
            if call.alone:
                self._completed()

    async def _call_alone(self, operation: bytes, timeout: float | None, request: Any) -> Any:
        """Send the request of an operation, which nothing else is sent with."""
        kind = self._kind
        if request is not None:
            return await self._channel.call(kind.rpc, request, timeout=timeout)
        request = kind.request_of(operation)
        return kind.result_of(await self._channel.call(kind.rpc, request, timeout=timeout))

    # Sending --------------------------------------------------------------------------

    def _send(self) -> None:
        """Send the waiting calls, up to `_IN_FLIGHT` requests in flight."""
        self._scheduled = False
        if self._channel.closed:
            self._close()
        if self._members is not None and not self._members.check():
            while calls := self._next():
                for call in calls:
                    self._send_alone(call)
        while self._in_flight < _IN_FLIGHT and (calls := self._next()):
            self._alone_before = len(calls) == 1
            if self._alone_before:
                self._send_alone(calls[0])
                continue
            batch = _Batch(calls)
            for call in calls:
                call.batch = batch
            self._in_flight += 1
            self._batches.add(batch)
            self._channel.run_in_background(self._send_batch(batch))

    def _send_alone(self, call: _Call) -> None:
        """Make a call send its own request."""
        self._in_flight += 1
        call.alone = True
        call.waiter.set_result(None)

    def _next(self) -> list[_Call]:
        """Take the calls of the next batch; an empty list if no call waits."""
        while self._split:
            calls = [call for call in self._split.popleft() if not call.waiter.done()]
            if calls:
                return calls
        waiting, kind = self._waiting, self._kind
        most, largest, size = self._limits.operations, self._limits.size, 0
        calls = []
        repeated: list[_Call] = []
        keys: set[bytes] = set()
        while waiting and len(calls) < most and len(repeated) < most:
            call = waiting.popleft()
            if call.waiter.done():
                continue
            size += len(call.operation)
            if size > largest and calls:
                waiting.appendleft(call)
                break
            if kind.writes:
                if call.key in keys:
                    repeated.append(call)
                    continue
                keys.add(call.key)
            calls.append(call)
        waiting.extendleft(reversed(repeated))
        return calls

    async def _send_batch(self, batch: _Batch) -> None:
        """Send the transaction of a batch, and give each call its response or its error."""
        if batch.completed:
            self._batches.discard(batch)
            return  # all its calls were cancelled before this task started
        batch.task = asyncio.current_task()
        kind, calls = self._kind, batch.calls
        timeout = None
        if kind.writes:
            latest = max(call.deadline for call in calls)
            timeout = max(latest - get_running_loop().time(), _SHORTEST_TIMEOUT)
        try:
            transaction = transaction_of([call.operation for call in calls])
            response = await self._channel.call(kind.transaction, transaction, timeout=timeout)
            results = kind.results([call.request for call in calls], response)
            for call, result in zip(calls, results, strict=True):
                waiter = call.waiter
                if not waiter.done():
                    waiter.set_result(result)
        except ClientError as error:
            self._failed(batch, error)
        except asyncio.CancelledError:
            # All calls were cancelled, or the channel is being closed.
            for call in calls:
                if not call.waiter.done():
                    call.waiter.set_exception(_closed(kind, definite=False))
            raise
        except Exception as error:
            # Raised by a view below, or by the codecs of an RPC that a view replaced.
            for call in calls:
                if not call.waiter.done():
                    call.waiter.set_exception(_copied(error))
        finally:
            self._batches.discard(batch)
            if not batch.completed:
                batch.completed = True
                self._completed()

    def _failed(self, batch: _Batch, error: ClientError) -> None:
        """Handle the error of a batch: split it, send its calls alone, or fail them."""
        kind = self._kind
        calls = [call for call in batch.calls if not call.waiter.done()]
        if not isinstance(error, _COMMON_ERRORS) and (error.definite or not kind.writes):
            # The error may concern one call only: sending the halves finds it.
            size = sum(len(call.operation) for call in batch.calls)
            self._limits.learn(error, len(batch.calls), size)
            for call in calls:
                call.batch = None
            half = (len(calls) + 1) // 2
            self._split += [some for some in (calls[:half], calls[half:]) if some]
        elif not kind.writes and not error.definite:
            # A read may be repeated: each with its own deadline, on any member.
            for call in calls:
                self._send_alone(call)
        else:
            for call in calls:
                call.waiter.set_exception(_error_of(kind, error))

    def _completed(self) -> None:
        """Record that a request is no longer in flight, and send what waits."""
        self._in_flight -= 1
        if self._waiting or self._split:
            if not self._scheduled:
                self._scheduled = True
                get_running_loop().call_soon(self._send, context=self._context)
        elif not self._in_flight and self._timer is not None:
            self._timer.cancel()
            self._timer, self._check_at = None, math.inf

    def _abandoned(self, call: _Call) -> None:
        """Record that a call no longer waits; cancel its transaction if it was the last one.

        A transaction of reads is not cancelled: see `_coalescing_kinds`.
        """
        batch, call.batch = call.batch, None
        if batch is None or batch.completed:
            return
        batch.waiting -= 1
        if batch.waiting:
            return
        batch.completed = True
        self._completed()
        if self._kind.writes and batch.task is not None:
            batch.task.cancel()

    def _close(self) -> None:
        """Fail the waiting calls, because the channel was closed."""
        for call in (*self._waiting, *chain.from_iterable(self._split)):
            if not call.waiter.done():
                call.waiter.set_exception(_closed(self._kind, definite=True))
        self._waiting.clear()
        self._split.clear()

    # Deadlines ------------------------------------------------------------------------

    def _set_timer(self, deadline: float) -> None:
        """Check the deadlines at the time `deadline`."""
        if self._timer is not None:
            self._timer.cancel()
        self._check_at = deadline
        self._timer = get_running_loop().call_at(deadline, self._expire, context=self._context)

    def _expire(self) -> None:
        """Fail the calls whose deadline has passed."""
        loop = get_running_loop()
        self._timer, self._check_at = None, math.inf
        now = loop.time() + _RESOLUTION
        later = []
        batches = (batch.calls for batch in self._batches)
        for call in chain(self._waiting, *self._split, *batches):
            if call.waiter.done():
                continue
            if call.deadline > now:
                later.append(call.deadline)
                continue
            call.waiter.set_exception(
                ConnectionTimeoutError(
                    "no response was received within the timeout",
                    method=self._kind.rpc.name,
                    definite=call.batch is None,
                )
            )
            self._abandoned(call)
        if later:
            self._set_timer(min(later))


def _closed(kind: Kind, *, definite: bool) -> ClientClosedError:
    message = "the client is closed" if definite else "the client was closed during the call"
    return ClientClosedError(message, method=kind.rpc.name, definite=definite)


def _error_of(kind: Kind, error: ClientError) -> ClientError:
    """Return the error of a batch for one of its calls."""
    own = _copied(error)
    if own.method in (None, kind.transaction.name):  # and not that of fetching a token
        own.method = kind.rpc.name
    return own


def _copied(error: ErrorT) -> ErrorT:
    """Return a copy of an error, or the error itself if it cannot be copied.

    Several callers raise it, and each of them adds its own frames to the traceback.
    """
    try:
        copied = copy.copy(error)
    except Exception:
        return error
    copied.__cause__ = error.__cause__
    return copied
