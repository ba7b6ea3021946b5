"""The transactions of bulk operations."""

from __future__ import annotations

from typing import Final

from etcd_kv.pb import kv_pb2 as pb

__all__ = ["OVERHEAD", "Part"]

OVERHEAD: Final = 40
"""Bytes: more than the tags and the lengths of an operation with a lease take."""


class Part:
    """One transaction, with an operation for each of several consecutive items.

    `first` is the position of the first item in the source. `leased` is whether the items without
    a lease of their own have a common one.
    """

    def __init__(self, first: int, *, leased: bool = False) -> None:
        self.first = first
        self.leased = leased
        self.request = pb.TxnRequest()
        self.keys: set[bytes] = set()
        """The keys that it puts."""
        self.size = 0
        """An upper estimate of the size of the request, in bytes."""

    def __len__(self) -> int:
        return len(self.request.success)

    @property
    def positions(self) -> range:
        """The positions of its items in the source."""
        return range(self.first, self.first + len(self))

    def split(self, operations: int, size: int) -> list[Part]:
        """Split it into parts of at most `operations` operations and `size` bytes.

        A larger single operation is a part of its own.
        """
        parts: list[Part] = []
        part = Part(self.first, leased=self.leased)
        for op in self.request.success:
            more = op.ByteSize() + OVERHEAD
            if part.size and (len(part) >= operations or part.size + more > size):
                parts.append(part)
                part = Part(part.first + len(part), leased=self.leased)
            part.request.success.append(op)
            part.size += more
        return [*parts, part]

    def read_at(self, revision: int) -> None:
        """Set the revision of its reads."""
        for op in self.request.success:
            op.request_range.revision = revision

    def shown(self, argument: str) -> str:
        """Return a description of its items for an error; `argument` is the name of the source."""
        first, last = (_shown_key(self.request.success[index]) for index in (0, -1))
        start, stop = self.positions.start, self.positions.stop
        if len(self) == 1:
            return f"{argument}[{start}] (the key {first})"
        return f"{argument}[{start}:{stop}] (the keys {first} to {last})"


def _shown_key(op: pb.RequestOp) -> str:
    kind = op.WhichOneof("request")
    assert kind is not None
    key: bytes = getattr(op, kind).key
    return repr(key) if len(key) <= 60 else f"{key[:57]!r}..."
