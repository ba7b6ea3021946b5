"""`ChannelView`, the base class of middleware."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

from google.protobuf.message import Message

from etcd_channel.base_classes import Connected
from etcd_channel.channel import Channel
from etcd_channel.observer import Observer, Report
from etcd_channel.rpc import Rpc
from etcd_channel.stream import Stream, StreamHandler

__all__ = ["ChannelLike", "ChannelView", "Middleware", "check_middleware", "with_middleware"]

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)
T = TypeVar("T")


class ChannelView(Connected):
    """Forwards every method of a channel to `inner`, a channel or another view.

    Subclasses override methods to observe or change calls: `call`, `download` and `stream`, which
    send everything that service clients send, or `rpc_for`, which changes the messages of all
    three. A view sees a call once, however often it is retried; the channel reports failed
    attempts to `on_failed_attempt`. Authentication by the channel passes no view. A `call` that
    changes a request changes a copy of it, because the caller may send the request again.

    Service clients on a view share their streams only with clients on the same view. The streams
    stay open until the channel is closed, so make a view once and not for each request. Closing a
    view closes its channel. A view has no `recreate`; make another view of `Channel.recreate()`.
    """

    def __init__(self, inner: ChannelLike) -> None:
        if not isinstance(inner, (Channel, ChannelView)):
            raise TypeError(f"inner must be a Channel or a view of one, not {type(inner).__name__}")
        self._inner = inner
        kind = type(self)
        if kind.observe is not ChannelView.observe or kind.around is not ChannelView.around:
            inner.observer.listen(self.observe, self.around)
        self._shared: dict[Callable[[ChannelView], Any], Any] = {}
        self._replacements: dict[Rpc[Any, Any], Rpc[Any, Any]] = {}

    @property
    def inner(self) -> ChannelLike:
        """The channel or view to which the methods are forwarded."""
        return self._inner

    # What happens -----------------------------------------------------------------

    def observe(self, report: Report) -> None:
        """Receive a report of the channel, or of a service on it; by default, do nothing.

        Override it to count or trace what `call`, `download` and `stream` do not see: failed
        attempts, streams that are opened again, and measurements such as the margin of leases. It
        is called in the event loop and must not block; for an attempt of a call it runs in the
        task of the call. Every view of the channel that overrides it gets every report.
        """

    def around(self, operation: str) -> AbstractContextManager[object] | None:
        """Return a context manager for an operation of several calls; None does nothing.

        `operation` is its name, such as "Mutex.acquire". The context manager is entered in the task
        of the operation, so that a context variable which it sets is seen by the calls. Its
        exceptions are logged and have no other effect, and it cannot suppress those of the
        operation.
        """
        return None

    # What is sent -----------------------------------------------------------------

    def rpc_for(self, rpc: Rpc[RequestT, ResponseT]) -> Rpc[RequestT, ResponseT]:
        """Return the RPC to call instead of `rpc`; by default `rpc` itself.

        Override it to return `rpc.edited(…)` or an RPC with other codecs. It is called once for
        each RPC; the view keeps the result.
        """
        return rpc

    def call(
        self,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> Coroutine[Any, Any, ResponseT]:
        """As `Channel.call`."""
        return self._inner.call(
            self._replacements.get(rpc) or self._replacement(rpc),
            request,
            timeout=timeout,
            endpoint=endpoint,
        )

    def download(
        self,
        rpc: Rpc[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout: float | None = None,
        endpoint: str | None = None,
    ) -> AsyncGenerator[ResponseT, None]:
        """As `Channel.download`."""
        return self._inner.download(
            self._replacements.get(rpc) or self._replacement(rpc),
            request,
            timeout=timeout,
            endpoint=endpoint,
        )

    def stream(
        self,
        rpc: Rpc[RequestT, ResponseT],
        handler: StreamHandler[RequestT, ResponseT],
        *,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> Stream[RequestT, ResponseT]:
        """As `Channel.stream`."""
        return self._inner.stream(
            self._replacements.get(rpc) or self._replacement(rpc), handler, metadata=metadata
        )

    def _replacement(self, rpc: Rpc[RequestT, ResponseT]) -> Rpc[RequestT, ResponseT]:
        replacement = self.rpc_for(rpc)
        if not isinstance(replacement, Rpc):
            raise TypeError(f"rpc_for must return an Rpc, not {type(replacement).__name__}")
        self._replacements[rpc] = replacement
        return replacement

    def shared(self, make: Callable[[ChannelView], T]) -> T:
        """Return an object that service clients on this view share, as `Channel.shared`.

        `make` is called with the view.
        """
        if make not in self._shared:
            self._shared[make] = make(self)
        return cast("T", self._shared[make])

    # The channel -----------------------------------------------------------------------

    @property
    def endpoints(self) -> tuple[str, ...]:
        """As `Channel.endpoints`."""
        return self._inner.endpoints

    @property
    def addresses(self) -> tuple[str, ...]:
        """As `Channel.addresses`."""
        return self._inner.addresses

    @property
    def current_endpoint(self) -> str:
        """As `Channel.current_endpoint`."""
        return self._inner.current_endpoint

    @property
    def timeout(self) -> float:
        """As `Channel.timeout`."""
        return self._inner.timeout

    @property
    def username(self) -> str | None:
        """As `Channel.username`."""
        return self._inner.username

    @property
    def closed(self) -> bool:
        """As `Channel.closed`."""
        return self._inner.closed

    @property
    def reconnects(self) -> int:
        """As `Channel.reconnects`, for the whole channel."""
        return self._inner.reconnects

    @property
    def observer(self) -> Observer:
        """As `Channel.observer`, for the whole channel."""
        return self._inner.observer

    def set_endpoints(self, endpoints: str | Iterable[str]) -> None:
        """As `Channel.set_endpoints`, for the whole channel."""
        self._inner.set_endpoints(endpoints)

    def use_password(self, password: str, *, if_refused: bool = False) -> None:
        """As `Channel.use_password`."""
        self._inner.use_password(password, if_refused=if_refused)

    def withdraw_password(self, password: str) -> None:
        """As `Channel.withdraw_password`."""
        self._inner.withdraw_password(password)

    def check_usable(self) -> None:
        """As `Channel.check_usable`."""
        self._inner.check_usable()

    def run_while_open(self, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """As `Channel.run_while_open`."""
        self._inner.run_while_open(work)

    def run_in_background(self, work: Coroutine[Any, Any, object]) -> None:
        """As `Channel.run_in_background`."""
        self._inner.run_in_background(work)

    def run_to_completion(
        self, work: Coroutine[Any, Any, T], after: BaseException | None = None
    ) -> Coroutine[Any, Any, T]:
        """As `Channel.run_to_completion`."""
        return self._inner.run_to_completion(work, after)

    async def connect(self) -> None:
        """As `Channel.connect`."""
        await self._inner.connect()

    async def close(self) -> None:
        """Close the channel, as `Channel.close`."""
        await self._inner.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._inner!r})"


ChannelLike = Channel | ChannelView
"""A channel or a view of one, the argument of service clients."""

Middleware = Callable[[ChannelLike], ChannelView]
"""What puts a view on a channel or on another view: a class of views, or a function."""


def check_middleware(name: str, value: object) -> tuple[Middleware, ...]:
    """Return `value` as a tuple if it consists of classes of views, or functions that make one."""
    wanted = "classes of views, or functions that make a view"
    if not isinstance(value, Iterable):
        given = getattr(value, "__name__", type(value).__name__)
        raise TypeError(f"{name} must be a sequence of {wanted}, not {given}")
    middleware = tuple(value)
    for each in middleware:
        if not callable(each):
            raise TypeError(f"{name} must consist of {wanted}, not of a {type(each).__name__}")
    return middleware


def with_middleware(channel: ChannelLike, middleware: Iterable[Middleware]) -> ChannelLike:
    """Put views on a channel and return the outermost one, which the first of them makes.

    A call passes the views in the order of `middleware`. Without any, it is the channel itself.
    Raises `TypeError` for one that does not return a view of what it is given.
    """
    outermost = channel
    for make in reversed(check_middleware("middleware", middleware)):
        view = make(outermost)
        if not isinstance(view, ChannelView) or view.inner is not outermost:
            raise TypeError(
                "middleware must be functions that take a channel and return a view of it,"
                f" but {make!r} returned {type(view).__name__}"
            )
        outermost = view
    return outermost
