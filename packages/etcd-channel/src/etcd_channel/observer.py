"""Reports of a channel to callbacks and views: failed attempts, reconnects, measurements."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from grpc.aio import AioRpcError

from etcd_channel.arguments import check_callback
from etcd_channel.errors import ClientError
from etcd_channel.metrics import Measurement, Metric
from etcd_channel.rpc import Rpc

__all__ = ["FailedAttempt", "Observer", "Reconnect", "Report"]

T = TypeVar("T")

_log = logging.getLogger("etcd_channel")

_NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})


class FailedAttempt(NamedTuple):
    """A failed attempt to send a request or to open a stream, or the break of an open stream."""

    rpc: str
    """The service and the method, such as "KV.Range"."""
    error: ClientError
    """The error, without a traceback; `error.endpoint` is the member."""
    attempt: int
    """The number of the attempt, from 1: in this call, or since the stream last received
    something."""
    repeated: bool
    """True if another attempt follows, unless the call times out before it. False if the error is
    raised to the caller or ends the stream."""
    method: str
    """The service with its package, and the method, such as "etcdserverpb.KV/Range"."""


class Reconnect(NamedTuple):
    """The break of a stream that is opened again; the fields are as in `FailedAttempt`."""

    rpc: str
    error: ClientError
    attempt: int
    method: str


Report = FailedAttempt | Reconnect | Measurement
"""What `ChannelView.observe` is called with: a `FailedAttempt` for a call, a download, or a stream
that ends; a `Reconnect` for a stream that is opened again; a `Measurement` of a `Metric`."""


class Observer:
    """Passes the reports of a channel, and of the services on it, to callbacks and views.

    No report has a request or its metadata. Exceptions of the receivers are logged and have no
    other effect.
    """

    def __init__(self, on_failed_attempt: Any = None, on_reconnect: Any = None) -> None:
        self.reconnects = 0
        """How often a stream of the channel broke and was opened again."""
        self.listening = False
        """Whether a view receives reports. Services measure nothing as long as it is False."""
        self._listeners: list[Callable[[Report], object]] = []
        self._surrounding: list[Callable[[str], AbstractContextManager[object] | None]] = []
        self._on_failed_attempt: Callable[[FailedAttempt], object] | None = _checked(
            "on_failed_attempt", on_failed_attempt
        )
        self._on_reconnect: Callable[[Reconnect], object] | None = _checked(
            "on_reconnect", on_reconnect
        )

    def __repr__(self) -> str:
        return f"Observer(reconnects={self.reconnects}, listening={self.listening})"

    def listen(
        self,
        observe: Callable[[Report], object],
        around: Callable[[str], AbstractContextManager[object] | None],
    ) -> None:
        """Call these methods of a view from now on: see `ChannelView`."""
        self._listeners.append(observe)
        self._surrounding.append(around)
        self.listening = True

    def measure(
        self, metric: Metric, value: float, attributes: Mapping[str, str] = _NO_ATTRIBUTES
    ) -> None:
        """Report a measurement, if a view receives reports."""
        if self.listening:
            self._tell(Measurement(metric, value, attributes))

    def operation(self, name: str) -> AbstractContextManager[object]:
        """Return a context manager for an operation of several calls, such as "Lock.acquire"."""
        stack = ExitStack()
        for around in self._surrounding:
            _enter(stack, around, name)
        return stack

    def call_failed(
        self, rpc: Rpc[Any, Any], error: ClientError, attempt: int, *, repeated: bool
    ) -> None:
        """Report a failed attempt of a call or a download."""
        if self._on_failed_attempt is not None or self.listening:
            report = FailedAttempt(rpc.name, _without_frames(error), attempt, repeated, rpc.method)
            if self._on_failed_attempt is not None:
                _call("on_failed_attempt", self._on_failed_attempt, report)
            self._tell(report)

    def stream_broke(
        self, rpc: Rpc[Any, Any], error: ClientError, attempt: int, *, repeated: bool
    ) -> None:
        """Report a stream that broke or could not be opened."""
        if not repeated:
            self.call_failed(rpc, error, attempt, repeated=False)
            return
        self.reconnects += 1
        if self._on_failed_attempt is not None:
            failed = FailedAttempt(rpc.name, _without_frames(error), attempt, True, rpc.method)
            _call("on_failed_attempt", self._on_failed_attempt, failed)
        if self._on_reconnect is not None or self.listening:
            report = Reconnect(rpc.name, _without_frames(error), attempt, rpc.method)
            if self._on_reconnect is not None:
                _call("on_reconnect", self._on_reconnect, report)
            self._tell(report)

    def _tell(self, report: Report) -> None:
        for listener in self._listeners:
            _call("observe", listener, report)


def _checked(name: str, callback: Any) -> Any:
    return None if callback is None else check_callback(name, callback)


def _call(name: str, callback: Callable[[T], object], report: T) -> None:
    try:
        callback(report)
    except Exception:
        _log.exception("the callback %s failed", name)


def _enter(
    stack: ExitStack, around: Callable[[str], AbstractContextManager[object] | None], name: str
) -> None:
    try:
        manager = around(name)
        if manager is not None:
            manager.__enter__()
            stack.push(partial(_leave, manager))
    except Exception:
        _log.exception("the callback around failed")


def _leave(manager: AbstractContextManager[object], *raised: Any) -> None:
    # Nothing is returned, so that the end of the operation is not suppressed either.
    try:
        manager.__exit__(*raised)
    except Exception:
        _log.exception("the callback around failed")


def _without_frames(error: ClientError) -> ClientError:
    # The frames of a traceback refer to the arguments of the call, which may be a password.
    copied = copy.copy(error)
    if isinstance(error.__cause__, AioRpcError):
        copied.__cause__ = error.__cause__  # it has no frames either, see to_client_error
    return copied
