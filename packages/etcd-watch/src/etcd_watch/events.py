"""What a watch tells: events, and the responses of the server that hold them."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import ClassVar, Final, Protocol

from etcd_channel import KeyValue, Record, ResponseHeader
from etcd_channel.pb import common_pb2
from etcd_watch.pb import watch_pb2 as pb

__all__ = ["Event", "EventKind", "WatchResponse"]


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


_KINDS: Final[dict[int, EventKind]] = {
    pb.Event.PUT: EventKind.PUT,
    pb.Event.DELETE: EventKind.DELETE,
}


class Event(Record):
    """One change of one key."""

    _fields: ClassVar[tuple[str, ...]] = ("kind", "kv", "prev_kv")
    __slots__ = _fields

    kind: EventKind
    """Whether the key was put or deleted."""
    kv: KeyValue
    """The key as it is now. A `version` of 1 says that it came into being; a deleted key
    has nothing but its name and, as `mod_revision`, the revision of the deletion."""
    prev_kv: KeyValue | None
    """The key as it was before, if that was asked for, it existed, and its history is not
    compacted."""

    def __init__(
        self,
        kind: EventKind | int | str,
        kv: common_pb2.KeyValue | KeyValue,
        prev_kv: common_pb2.KeyValue | KeyValue | None = None,
    ) -> None:
        # A number is as the wire has it.
        self.kind = _KINDS[kind] if kind in _KINDS else EventKind(kind)
        self.kv = KeyValue(kv)
        self.prev_kv = None if prev_kv is None else KeyValue(prev_kv)


def event_from(message: _EventMessage) -> Event:
    """Wrap an event as it came over the wire; the constructor without its conversions."""
    event = Event.__new__(Event)
    event.kind = _KINDS[message.type]
    event.kv = KeyValue(message.kv)
    event.prev_kv = KeyValue(message.prev_kv) if message.HasField("prev_kv") else None
    return event


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
