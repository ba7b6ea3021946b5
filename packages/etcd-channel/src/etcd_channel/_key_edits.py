"""Functions that put a prefix before the keys of a message, or take it away; no I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from etcd_channel.keys import KeyFields
from etcd_channel.utils import prefix_range_end

__all__ = ["Edit", "prefix_adder", "prefix_remover"]

Edit = Callable[[Any], None]
"""Changes a message in place."""

_END_OF_KEYS = b"\0"


def prefix_adder(kind: type[Message], fields: KeyFields, prefix: bytes) -> Edit:
    """Return a function that puts `prefix` before the keys of a request of class `kind`.

    A range that ends at the end of all keys then ends at the last key with the prefix. The function
    raises `ValueError` for an empty key.
    """
    prefix_end = prefix_range_end(prefix)

    def add_to(fields: KeyFields) -> Edit:
        names, end = fields.names, fields.range_end

        def add(message: Any) -> None:
            for name in names:
                key = getattr(message, name)
                if not key:
                    raise ValueError(f"{name} must not be empty in a {type(message).__name__}")
                setattr(message, name, prefix + key)
            if end:
                range_end = getattr(message, end)
                if range_end:
                    below = prefix_end if range_end == _END_OF_KEYS else prefix + range_end
                    setattr(message, end, below)

        return add

    return _Compiler(add_to).edit(kind, fields)


def prefix_remover(kind: type[Message], fields: KeyFields, prefix: bytes) -> Edit:
    """Return a function that takes `prefix` away from the keys of a response of class `kind`.

    A repeated field may also have keys without the prefix (those of a lease); they are left out.
    """
    size = len(prefix)

    def remove_from(fields: KeyFields) -> Edit:
        names = fields.names

        def remove(message: Any) -> None:
            for name in names:
                value = getattr(message, name)
                if isinstance(value, bytes):
                    setattr(message, name, value[size:])
                else:
                    inside = [
                        key[size:] for key in value if len(key) > size and key.startswith(prefix)
                    ]
                    del value[:]
                    value.extend(inside)

        return remove

    return _Compiler(remove_from).edit(kind, fields)


class _Compiler:
    """Makes the edit of a message from those of the messages within it.

    `edit_fields` makes the edit of the fields of one message. Messages may contain messages of
    their own class, as transactions do.
    """

    def __init__(self, edit_fields: Callable[[KeyFields], Edit]) -> None:
        self._edit_fields = edit_fields
        self._made: dict[tuple[type[Message], KeyFields], _Composed] = {}

    def edit(self, kind: type[Message], fields: KeyFields) -> Edit:
        if not fields.within:
            return self._edit_fields(fields)
        made = self._made.get((kind, fields))
        if made is None:
            own = self._edit_fields(fields) if fields.names else None
            made = self._made[kind, fields] = _Composed(own)
            sample = kind()
            for name, inner in fields.within.items():
                value = getattr(sample, name)
                if isinstance(value, Message):
                    made.single.append((name, self.edit(type(value), inner)))
                else:
                    made.repeated.append((name, self.edit(type(value.add()), inner)))
        return made


class _Composed:
    """The edit of a message and of the messages within it."""

    def __init__(self, own: Edit | None) -> None:
        self.own = own
        self.single: list[tuple[str, Edit]] = []
        self.repeated: list[tuple[str, Edit]] = []

    def __call__(self, message: Any) -> None:
        if self.own is not None:
            self.own(message)
        for name, edit in self.single:
            if message.HasField(name):
                edit(getattr(message, name))
        for name, edit in self.repeated:
            for part in getattr(message, name):
                edit(part)
