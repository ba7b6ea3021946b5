"""The result types that all services share."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

__all__ = ["KeyValue", "Record", "ResponseHeader"]

_SHOWN_BYTES = 64


def _shown(value: object) -> str:
    if isinstance(value, bytes) and len(value) > _SHOWN_BYTES:
        return f"{value[:_SHOWN_BYTES]!r}... ({len(value)} bytes)"
    return repr(value)


class Record:
    """A value with named fields: equal by them, and readable when printed."""

    __slots__ = ()
    _fields: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={_shown(getattr(self, name))}" for name in self._fields)
        return f"{type(self).__name__}({fields})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._fields)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self._fields))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), tuple(getattr(self, name) for name in self._fields))


class _HeaderMessage(Protocol):
    @property
    def cluster_id(self) -> int: ...
    @property
    def member_id(self) -> int: ...
    @property
    def revision(self) -> int: ...
    @property
    def raft_term(self) -> int: ...


class _KeyValueMessage(Protocol):
    @property
    def key(self) -> bytes: ...
    @property
    def value(self) -> bytes: ...
    @property
    def create_revision(self) -> int: ...
    @property
    def mod_revision(self) -> int: ...
    @property
    def version(self) -> int: ...
    @property
    def lease(self) -> int: ...


class ResponseHeader(Record):
    """Who answered, and at which point of the store's history."""

    _fields: ClassVar[tuple[str, ...]] = ("cluster_id", "member_id", "revision", "raft_term")
    __slots__ = _fields

    cluster_id: int
    """The id of the cluster that answered."""
    member_id: int
    """The id of the member that answered."""
    revision: int
    """The revision of the store when the request was applied.

    On a watch's progress response: every event up to it has been sent.
    """
    raft_term: int
    """The raft term when the request was applied."""

    def __init__(self, header: _HeaderMessage) -> None:
        self.cluster_id = header.cluster_id
        self.member_id = header.member_id
        self.revision = header.revision
        self.raft_term = header.raft_term


class KeyValue(Record):
    """A key with its value and its history in numbers.

    It reads from the response that it came in, and keeps that in memory. What is read of it
    does not, and neither does a deep copy.
    """

    _fields: ClassVar[tuple[str, ...]] = (
        "key",
        "value",
        "create_revision",
        "mod_revision",
        "version",
        "lease",
    )
    # Not the fields themselves: of many keys in a response most are looked at for one or two.
    __slots__ = ("_message",)

    def __init__(self, keyvalue: _KeyValueMessage) -> None:
        self._message = keyvalue

    @property
    def key(self) -> bytes:
        """The key; never empty."""
        return self._message.key

    @property
    def value(self) -> bytes:
        """What the key holds; empty when only keys were asked for."""
        return self._message.value

    @property
    def create_revision(self) -> int:
        """The revision at which the key came into being, last."""
        return self._message.create_revision

    @property
    def mod_revision(self) -> int:
        """The revision of its last change."""
        return self._message.mod_revision

    @property
    def version(self) -> int:
        """How often it was put since it came into being; a deletion sets it to 0."""
        return self._message.version

    @property
    def lease(self) -> int:
        """The id of the lease that the key ends with, or 0."""
        return self._message.lease

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._message,)


def _restore(kind: type[Record], values: tuple[Any, ...]) -> Record:
    record = kind.__new__(kind)
    for name, value in zip(kind._fields, values, strict=True):
        setattr(record, name, value)
    return record
