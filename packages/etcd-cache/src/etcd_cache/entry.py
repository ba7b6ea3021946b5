"""`CacheEntry`, a key in a cache."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, cast

from etcd_channel import KeyValueLike, Record

__all__ = ["CacheEntry", "detached", "entry_of"]

V = TypeVar("V")

_new = object.__new__


class CacheEntry(Record, Generic[V]):
    """A key with its value and its revisions, as a cache has them.

    `value` is what `decode` returned, or the bytes if the cache does not decode. A test can
    construct an entry, `CacheEntry(KeyValue(key=b"k", mod_revision=3), value)`.
    """

    _fields: ClassVar[tuple[str, ...]] = (
        "key",
        "value",
        "create_revision",
        "mod_revision",
        "version",
        "lease",
    )
    __slots__ = ("_message", "_value")

    def __init__(self, keyvalue: KeyValueLike, value: V) -> None:
        self._message = keyvalue
        self._value = value

    @property
    def key(self) -> bytes:
        """The key."""
        return self._message.key

    @property
    def value(self) -> V:
        """The value of the key: what `decode` returned, or the bytes without one."""
        return self._value

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
        return CacheEntry, (detached(self._message), self.value)


class Fields(NamedTuple):
    """The fields of a `KeyValueLike`, without the response that they were read from."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int


def detached(keyvalue: KeyValueLike, *, with_value: bool = True) -> KeyValueLike:
    """Copy the fields, so that a key in a cache does not keep a whole response in memory."""
    return Fields(
        keyvalue.key,
        keyvalue.value if with_value else b"",
        keyvalue.create_revision,
        keyvalue.mod_revision,
        keyvalue.version,
        keyvalue.lease,
    )


def entry_of(keyvalue: KeyValueLike) -> CacheEntry[V]:
    """Make the entry of a key whose value is not decoded."""
    entry: CacheEntry[V] = _new(CacheEntry)
    entry._message = keyvalue
    entry._value = cast(V, keyvalue.value)
    return entry
