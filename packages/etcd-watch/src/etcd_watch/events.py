"""Events, and the responses that contain them."""

from __future__ import annotations

import enum
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol, overload

from etcd_channel import KeyValue, KeyValueLike, Record, ResponseHeader
from etcd_channel.pb import common_pb2
from etcd_watch.pb import watch_pb2 as pb

__all__ = ["Event", "EventKind", "Events", "WatchResponse", "event_from"]


class EventKind(str, enum.Enum):
    """The kind of change to a key; equal to its name as a string."""

    PUT = "PUT"
    """The key was put."""
    DELETE = "DELETE"
    """The key was deleted, by a request or because its lease ended."""

    def __str__(self) -> str:
        return self.value


class _EventMessage(Protocol):
    @property
    def type(self) -> pb.Event.EventType: ...
    @property
    def kv(self) -> KeyValueLike: ...
    @property
    def prev_kv(self) -> KeyValueLike: ...
    def HasField(self, field_name: str, /) -> bool: ...


_NUMBERS: Final = {EventKind.PUT: pb.Event.PUT, EventKind.DELETE: pb.Event.DELETE}
_KINDS: Final[dict[object, EventKind]] = {number: kind for kind, number in _NUMBERS.items()}


class Event(Record):
    """One change of one key.

    A received event reads its fields from the response, and keeps it in memory, like `KeyValue`. A
    constructed event, `Event(EventKind.PUT, KeyValue(key=b"k", value=b"v"))`, equals a received
    event with the same fields.
    """

    _fields: ClassVar[tuple[str, ...]] = ("kind", "kv", "prev_kv")
    # `kv` is read of nearly every event, so it is made at once; the rest is made on access.
    __slots__ = ("_message", "kv")

    kv: Final[KeyValue]
    """The key-value pair after the change. A `version` of 1 means that the key was created; a
    deletion has only the key and, as `mod_revision`, the revision of the deletion."""

    def __init__(
        self,
        kind: EventKind | int | str,
        kv: KeyValueLike,
        prev_kv: KeyValueLike | None = None,
    ) -> None:
        # A number is etcd's own.
        known = _KINDS[kind] if kind in _KINDS else EventKind(kind)
        message = pb.Event(type=_NUMBERS[known])
        _copy(kv, message.kv)
        if prev_kv is not None:
            _copy(prev_kv, message.prev_kv)
        self._message: _EventMessage = message
        self.kv = KeyValue.from_message(message.kv)

    @property
    def kind(self) -> EventKind:
        """Whether the key was put or deleted."""
        return _KINDS[self._message.type]

    @property
    def prev_kv(self) -> KeyValue | None:
        """The key-value pair before the change; None if the key did not exist, or if the pair
        was not requested or is compacted."""
        message = self._message
        return KeyValue.from_message(message.prev_kv) if message.HasField("prev_kv") else None

    def __hash__(self) -> int:
        # Of the message, not of `kv`: that is a plain attribute, because reading a property takes
        # four times as long, and so it can be assigned to.
        message = self._message
        return hash((message.type, message.kv.key, message.kv.mod_revision))

    def __reduce__(self) -> tuple[Any, ...]:
        return Event, (self.kind, self.kv, self.prev_kv)


_new = object.__new__
_key_value = KeyValue.from_message


def event_from(message: _EventMessage) -> Event:
    """Wrap an event message, without copying it as the constructor does."""
    event = _new(Event)
    event._message = message
    event.kv = _key_value(message.kv)  # type: ignore[misc]  # this is a constructor too
    return event


def _copy(source: KeyValueLike, target: common_pb2.KeyValue) -> None:
    target.SetInParent()
    for field in KeyValue._fields:
        setattr(target, field, getattr(source, field))


class Events(Sequence[Event]):
    """The events of a response; each is made on access."""

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
        return tuple, (tuple(self),)


@dataclass(frozen=True, slots=True)
class WatchResponse:
    """The events that the server sent together: one or more whole revisions, in order."""

    header: ResponseHeader
    """The cluster and member that sent it. In a progress response, every event up to its
    revision was sent. In a response with events, its revision may be ahead of theirs."""
    events: Sequence[Event]
    """The events, oldest first; none on a progress response."""

    @property
    def is_progress(self) -> bool:
        """Whether it is a progress response, without events."""
        return not self.events
