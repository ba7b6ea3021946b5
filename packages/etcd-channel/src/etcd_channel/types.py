"""Types that the results of several services share."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final, Protocol, overload

from etcd_channel.arguments import INT64_MIN, NOT_GIVEN, check_bytes, check_int
from etcd_channel.pb import common_pb2 as pb

__all__ = [
    "HasId",
    "HeaderLike",
    "KeyValue",
    "KeyValueLike",
    "KeyValues",
    "LeaseLike",
    "Record",
    "ResponseHeader",
]

_SHOWN_BYTES = 64


def _shown(value: object) -> str:
    if isinstance(value, bytes) and len(value) > _SHOWN_BYTES:
        return f"{value[:_SHOWN_BYTES]!r}... ({len(value)} bytes)"
    return repr(value)


class HasId(Protocol):
    """An object with the ID of a lease as `id`."""

    @property
    def id(self) -> int: ...


LeaseLike = int | HasId
"""A lease or its ID, which is any signed 64-bit integer except 0."""


class Record:
    """A result that reads its fields from a message when they are accessed.

    Two records are equal if they have the same type and equal fields. The fields are read-only.
    """

    # For results of which there are many, whose fields are rarely read, or that every program
    # imports; other results are frozen dataclasses, which take a millisecond of the import each.
    # `_fields` names the fields for repr, equality and hash. A subclass whose
    # fields can change defines its own hash.

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


class HeaderLike(Protocol):
    """An object with the fields of a `ResponseHeader`, such as a protobuf message."""

    @property
    def cluster_id(self) -> int: ...
    @property
    def member_id(self) -> int: ...
    @property
    def revision(self) -> int: ...
    @property
    def raft_term(self) -> int: ...


class KeyValueLike(Protocol):
    """An object with the fields of a `KeyValue`, such as a protobuf message."""

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


_UINT64_MAX: Final = (1 << 64) - 1


class ResponseHeader(Record):
    """The header of a response: the member that answered, and the revision of the store.

    A test can construct one, `ResponseHeader(revision=7)`; the fields that are not given are 0.
    """

    _fields: ClassVar[tuple[str, ...]] = ("cluster_id", "member_id", "revision", "raft_term")
    # The fields and not the message, which would keep the whole response in memory.
    __slots__ = ("_cluster_id", "_member_id", "_raft_term", "_revision")

    @overload
    def __init__(self, header: HeaderLike) -> None: ...
    @overload
    def __init__(
        self, *, cluster_id: int = 0, member_id: int = 0, revision: int = 0, raft_term: int = 0
    ) -> None: ...
    def __init__(
        self,
        header: HeaderLike = NOT_GIVEN,
        *,
        cluster_id: int = 0,
        member_id: int = 0,
        revision: int = 0,
        raft_term: int = 0,
    ) -> None:
        if header is NOT_GIVEN:
            self._cluster_id = check_int("cluster_id", cluster_id, maximum=_UINT64_MAX)
            self._member_id = check_int("member_id", member_id, maximum=_UINT64_MAX)
            self._revision = check_int("revision", revision)
            self._raft_term = check_int("raft_term", raft_term, maximum=_UINT64_MAX)
        else:
            self._cluster_id = header.cluster_id
            self._member_id = header.member_id
            self._revision = header.revision
            self._raft_term = header.raft_term

    @property
    def cluster_id(self) -> int:
        """The ID of the cluster."""
        return self._cluster_id

    @property
    def member_id(self) -> int:
        """The ID of the member that answered."""
        return self._member_id

    @property
    def revision(self) -> int:
        """The revision of the store when the request was applied.

        In a progress response of a watch, all events up to this revision have been received.
        """
        return self._revision

    @property
    def raft_term(self) -> int:
        """The raft term when the request was applied."""
        return self._raft_term


class KeyValue(Record):
    """A key with its value, its revisions and its lease.

    A received `KeyValue` keeps the whole response in memory; its `key` and `value` and a deep
    copy do not. A test can construct one, `KeyValue(key=b"k", value=b"v", mod_revision=3)`, which
    equals a received one with the same fields; numbers that are not given are 0.
    """

    _fields: ClassVar[tuple[str, ...]] = (
        "key",
        "value",
        "create_revision",
        "mod_revision",
        "version",
        "lease",
    )
    # The message instead of the fields, because usually only one or two fields are read.
    __slots__ = ("_message",)

    @overload
    def __init__(self, keyvalue: KeyValueLike) -> None: ...
    @overload
    def __init__(
        self,
        *,
        key: bytes,
        value: bytes = b"",
        create_revision: int = 0,
        mod_revision: int = 0,
        version: int = 0,
        lease: int = 0,
    ) -> None: ...
    def __init__(
        self,
        keyvalue: KeyValueLike = NOT_GIVEN,
        *,
        key: bytes | None = None,
        value: bytes = b"",
        create_revision: int = 0,
        mod_revision: int = 0,
        version: int = 0,
        lease: int = 0,
    ) -> None:
        if keyvalue is NOT_GIVEN:
            if key is None:
                raise TypeError("a KeyValue takes a keyvalue, or its fields: key is missing")
            self._message: KeyValueLike = pb.KeyValue(
                key=check_bytes("key", key),
                value=check_bytes("value", value),
                create_revision=check_int("create_revision", create_revision),
                mod_revision=check_int("mod_revision", mod_revision),
                version=check_int("version", version),
                lease=check_int("lease", lease, minimum=INT64_MIN),
            )
        elif key is not None:
            raise TypeError("a KeyValue takes a keyvalue or the fields of one, not both")
        elif isinstance(keyvalue, KeyValue):
            self._message = keyvalue._message
        elif hasattr(keyvalue, "mod_revision"):
            self._message = keyvalue
        else:
            raise TypeError(
                f"keyvalue must be a KeyValue, not {type(keyvalue).__name__}:"
                " the fields are given by name, as in KeyValue(key=b'k', value=b'v')"
            )

    # Static, because a call of a class method is slower, and this is called for every event.
    @staticmethod
    def from_message(message: KeyValueLike) -> KeyValue:
        """Build a `KeyValue` from a message, without the checks of the constructor."""
        made = _new(KeyValue)
        made._message = message
        return made

    @property
    def key(self) -> bytes:
        """The key; never empty."""
        return self._message.key

    @property
    def value(self) -> bytes:
        """The value; empty if only keys were requested."""
        return self._message.value

    @property
    def create_revision(self) -> int:
        """The revision at which the key was last created."""
        return self._message.create_revision

    @property
    def mod_revision(self) -> int:
        """The revision at which the key was last modified."""
        return self._message.mod_revision

    @property
    def version(self) -> int:
        """The number of puts since the key was created, 1 after the first."""
        return self._message.version

    @property
    def lease(self) -> int:
        """The ID of the lease that the key is attached to; 0 if there is none."""
        return self._message.lease

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._message,)


_new = object.__new__


class KeyValues(Sequence[KeyValue]):
    """A sequence of the keys in a response; a `KeyValue` is made when it is accessed.

    So a large response takes little more memory than its bytes. It equals any sequence of equal
    `KeyValue`s.
    """

    __slots__ = ("_messages",)

    def __init__(self, messages: Sequence[KeyValueLike]) -> None:
        self._messages: Sequence[KeyValueLike] = (
            messages._messages if isinstance(messages, KeyValues) else messages
        )

    def as_received(self) -> Sequence[KeyValueLike]:
        """Return the keys without making a `KeyValue` of each, for code that keeps many of them.

        They have the same fields.
        """
        return self._messages

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[KeyValue]:
        # `from_message` inlined, which saves a call for each key.
        new, kind = _new, KeyValue
        for message in self._messages:
            made = new(kind)
            made._message = message
            yield made

    @overload
    def __getitem__(self, index: int) -> KeyValue: ...
    @overload
    def __getitem__(self, index: slice) -> list[KeyValue]: ...
    def __getitem__(self, index: int | slice) -> KeyValue | list[KeyValue]:
        if isinstance(index, slice):
            return list(map(KeyValue.from_message, self._messages[index]))
        made = _new(KeyValue)
        made._message = self._messages[index]
        return made

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        if isinstance(other, KeyValues) and list(self._messages) == list(other._messages):
            return True  # messages are compared much faster than their fields one by one
        return len(self) == len(other) and all(map(operator.eq, self, other))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(list(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return KeyValues, (list(self._messages),)
