"""The base classes of the synchronous siblings of asynchronous objects."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Any, Generic, TypeVar

from etcd_channel import ClientClosedError, NonCopyable
from etcd_client import Cache as AsyncCache
from etcd_sync._portal import Portal

__all__ = [
    "Entered",
    "Handle",
    "Service",
    "inner_of",
    "is_newer",
    "refuse_cancel_on_loss",
]

HandleT = TypeVar("HandleT", bound="Handle")
T = TypeVar("T")


class Handle(NonCopyable):
    """An asynchronous object, and the portal to the event loop that it belongs to."""

    _inner: Any

    def __init__(self, portal: Portal, inner: object) -> None:
        self._portal = portal
        self._inner = inner

    @classmethod
    def _of(cls: type[HandleT], portal: Portal, inner: object) -> HandleT:
        handle = cls.__new__(cls)
        handle._portal = portal
        handle._inner = inner
        return handle

    @classmethod
    def _of_optional(cls: type[HandleT], portal: Portal, inner: object | None) -> HandleT | None:
        return None if inner is None else cls._of(portal, inner)

    def _read(self, read: Callable[[], T]) -> T:
        """Read a state that the loop changes; after the end of the loop nothing changes it."""
        try:
            return self._portal.call(read)
        except ClientClosedError:
            return read()

    def __eq__(self, other: object) -> bool:
        # Each access to an attribute may make another object, of the same asynchronous one.
        return type(other) is type(self) and other._inner == self._inner

    def __hash__(self) -> int:
        return hash(self._inner)

    def __repr__(self) -> str:
        return repr(self._inner)


class Service(Handle):
    """The base class of the clients."""


class Entered(AbstractContextManager[T], Generic[T]):
    """A context manager that enters and leaves an asynchronous one; `value` is its value."""

    def __init__(self, portal: Portal, inner: AbstractAsyncContextManager[Any], value: T) -> None:
        self._portal = portal
        self._inner = inner
        self._value = value

    def __enter__(self) -> T:
        self._portal.enter(self._inner)
        return self._value

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal.exit(self._inner, kind, error, trace)


def inner_of(name: str, handle: object, kind: type[Handle]) -> Any:
    """Return the asynchronous object of an argument; raise `TypeError` if it has none."""
    if isinstance(handle, kind):
        return handle._inner
    expected = "client" if kind is Service else kind.__name__
    article = "an" if expected[0] in "AEIOU" else "a"
    given = f"{type(handle).__module__}.{type(handle).__qualname__}"
    raise TypeError(f"{name} must be {article} {expected} of etcd_sync, not {given}")


def is_newer(revision: int, cache: AsyncCache[Any]) -> bool:
    """Whether the content of a cache has changed since this revision."""
    return cache.revision != revision


def refuse_cancel_on_loss(cancel_on_loss: object) -> None:
    """Raise an error unless `cancel_on_loss` is False."""
    if cancel_on_loss is not False:
        raise ValueError(
            "cancel_on_loss must be False: the body of a `with` cannot be cancelled; ask"
            " `is_acquired()` in it, or wait for `lost` in a thread"
        )
