"""What a watch tells: events, and the responses of the server that hold them."""

from __future__ import annotations

import enum
import operator
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final, Protocol, overload

from etcd_channel import KeyValue, Record, ResponseHeader
from etcd_channel.pb import common_pb2
from etcd_watch.pb import watch_pb2 as pb

__all__ = ["Event", "EventKind", "Events", "WatchResponse", "event_from"]


class EventKind(str, enum.Enum):
    """What happened to a key; equal to its name as a string."""

    PUT = "PUT"
    """The key was put."""
    DELETE = "DELETE"
    """The key was deleted, by a call or by the end of its lease."""


class _EventMessage(Protocol):
    @property
    def type(self) -> pb.Event.EventType: ...
    @property
    def kv(self) -> common_pb2.KeyValue: ...
    @property
    def prev_kv(self) -> common_pb2.KeyValue: ...
    def HasField(self, field_name: str, /) -> bool: ...


_NUMBERS: Final = {EventKind.PUT: pb.Event.PUT, EventKind.DELETE: pb.Event.DELETE}
_KINDS: Final[dict[object, EventKind]] = {number: kind for kind, number in _NUMBERS.items()}


class Event(Record):
    """One change of one key.

    It reads from the response that it came in, and keeps that in memory, as a `KeyValue` does.
    """

    _fields: ClassVar[tuple[str, ...]] = ("kind", "kv", "prev_kv")
    # What is looked at with nearly every event is made with it, the rest when it is asked for.
    __slots__ = ("_message", "kv")

    kv: KeyValue
    """The key as it is now. A `version` of 1 says that it came into being; a deleted key
    has nothing but its name and, as `mod_revision`, the revision of the deletion."""

    def __init__(
        self,
        kind: EventKind | int | str,
        kv: common_pb2.KeyValue | KeyValue,
        prev_kv: common_pb2.KeyValue | KeyValue | None = None,
    ) -> None:
        # A number is as the wire has it.
        known = _KINDS[kind] if kind in _KINDS else EventKind(kind)
        message = pb.Event(type=_NUMBERS[known])
        if prev_kv is not None:
            message.prev_kv.SetInParent()
            for field in KeyValue._fields:
                setattr(message.prev_kv, field, getattr(prev_kv, field))
        self._message: _EventMessage = message
        self.kv = KeyValue(kv)

    @property
    def kind(self) -> EventKind:
        """Whether the key was put or deleted."""
        return _KINDS[self._message.type]

    @property
    def prev_kv(self) -> KeyValue | None:
        """The key as it was before, if that was asked for, it existed, and its history is not
        compacted."""
        message = self._message
        return KeyValue(message.prev_kv) if message.HasField("prev_kv") else None

    def __reduce__(self) -> tuple[Any, ...]:
        return Event, (self.kind, self.kv, self.prev_kv)


def event_from(message: _EventMessage) -> Event:
    """Wrap an event as it came over the wire; the constructor without its conversions."""
    event = Event.__new__(Event)
    event._message = message
    event.kv = KeyValue(message.kv)
    return event


class Events(Sequence[Event]):
    """The events of a response, each made when it is looked at."""

    __slots__ = ("_messages",)

    def __init__(self, messages: Sequence[pb.Event]) -> None:
        self._messages = messages

    def __len__(self) -> int:
        return len(self._messages)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        if isinstance(index, slice):
            return [event_from(message) for message in self._messages[index]]
        return event_from(self._messages[index])

    def __iter__(self) -> Iterator[Event]:
        return map(event_from, self._messages)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(operator.eq, self, other))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(list(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)


class WatchResponse(Record):
    """Events as the server sent them together: of one revision, or of several in order.

    A revision is never split: its events all stand in one response.
    """

    _fields: ClassVar[tuple[str, ...]] = ("header", "events")
    __slots__ = _fields

    header: ResponseHeader
    """Who sent it. On a progress response the revision says how far the watch is: every
    event up to it was sent. On one with events it may be ahead of them."""
    events: Sequence[Event]
    """The events, oldest first; none on a progress response."""

    def __init__(self, header: common_pb2.ResponseHeader, events: Sequence[Event]) -> None:
        self.header = ResponseHeader(header)
        self.events = events

    @property
    def is_progress(self) -> bool:
        """Whether it only says how far the watch is."""
        return not self.events
