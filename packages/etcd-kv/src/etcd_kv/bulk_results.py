"""The results and the error of bulk writes: which items are done, and which are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast

from etcd_channel import ClientError
from etcd_channel.arguments import NOT_GIVEN
from etcd_kv._bulk_parts import Part
from etcd_kv.pb import kv_pb2 as pb

__all__ = ["BulkError", "BulkPart", "BulkWrite", "DeleteMany", "PutMany", "PutManyItem"]

PutManyItem = tuple[bytes, bytes] | tuple[bytes, bytes, int | None]
"""An item that `put_many` writes: a key, its value, and the id of its lease if it has one.

None in place of the id means no lease, although the call had a common one.
"""

Progress = Callable[[int, int | None], object]
"""Called with the number of items that are done, and of all items; None if that is not known."""

ItemT = TypeVar("ItemT")


class BulkPart(Generic[ItemT]):
    """Consecutive items of a bulk write that were, or were to be, sent in one transaction."""

    def __init__(self, part: Part, error: ClientError | None = None) -> None:
        self._part = part
        self._error = error

    @property
    def positions(self) -> range:
        """The positions of the items in the source, counted from 0."""
        return self._part.positions

    @property
    def items(self) -> list[ItemT]:
        """The items, in their order, in a form that the same method accepts again.

        An item of `put_many` with a lease, its own or the common one, is
        `(key, value, lease id)`. One without a lease is `(key, value, None)` if the call had a
        common lease, else `(key, value)`.
        """
        part = self._part
        return [cast("ItemT", _item(op, part.leased)) for op in part.request.success]

    @property
    def error(self) -> ClientError | None:
        """The error of this part; None if it was not sent, or if the call was cancelled."""
        return self._error

    def __len__(self) -> int:
        return len(self._part)

    def __repr__(self) -> str:
        return f"BulkPart({self.positions}, error={self._error!r})"


def _item(op: pb.RequestOp, leased: bool) -> PutManyItem | bytes:
    if op.WhichOneof("request") == "request_put":
        put = op.request_put
        if put.lease or leased:
            return put.key, put.value, put.lease or None
        return put.key, put.value
    return op.request_delete_range.key


class BulkWrite(Generic[ItemT]):
    """The state of a bulk write while it runs, and its result when it has ended.

    Each item that was read from the source is in one of three states:

    - done: the server has acknowledged it.
    - not done: it was not sent, or the server refused it. It can be sent again.
    - unknown: it was sent, and no response was received. It may have been applied, or may be
      applied later.
    """

    def __init__(self) -> None:
        self._used = False
        self._read = 0
        self._done = 0
        self._revision = 0
        self._unknown: dict[int, BulkPart[ItemT]] = {}
        self._not_done: dict[int, BulkPart[ItemT]] = {}

    @property
    def read(self) -> int:
        """The number of items read from the source, which is the position of the next item.

        While the call runs, items of a transaction that is not full yet are not counted.
        """
        return self._read

    @property
    def done(self) -> int:
        """The number of items that are done."""
        return self._done

    @property
    def revision(self) -> int:
        """The highest store revision in a response; 0 before the first response."""
        return self._revision

    @property
    def unknown(self) -> Sequence[BulkPart[ItemT]]:
        """The parts that may have been applied, in their order.

        While the call runs, the parts in flight are among them.
        """
        return _in_order(self._unknown)

    @property
    def not_done(self) -> Sequence[BulkPart[ItemT]]:
        """The parts that were read and not applied, in their order."""
        return _in_order(self._not_done)

    @property
    def done_positions(self) -> list[range]:
        """The positions of the items that are done, as ranges in their order."""
        ranges: list[range] = []
        start = 0
        for part in _in_order({**self._unknown, **self._not_done}):
            if part.positions.start > start:
                ranges.append(range(start, part.positions.start))
            start = part.positions.stop
        if self._read > start:
            ranges.append(range(start, self._read))
        return ranges

    # What the call records -------------------------------------------------------------

    def _begin(self) -> None:
        """Mark it as used; raise `ValueError` if it was used before."""
        if self._used:
            raise ValueError(f"result must be a new {type(self).__name__}, not one of another call")
        self._used = True

    def _record_read(self, part: Part) -> None:
        """Record a part that was read and not sent yet."""
        self._read += len(part)
        self._not_done[part.first] = BulkPart(part)

    def _record_split(self, part: Part, pieces: Sequence[Part]) -> None:
        """Record that a part is sent in smaller parts."""
        del self._not_done[part.first]
        for piece in pieces:
            self._not_done[piece.first] = BulkPart(piece)

    def _record_sent(self, part: Part) -> None:
        """Record that a part is sent: from here on it may be applied."""
        self._unknown[part.first] = self._not_done.pop(part.first)

    def _record_failed(self, part: Part, error: ClientError) -> None:
        """Record the error of a part that was sent. A part that is cancelled stays unknown."""
        del self._unknown[part.first]
        where = self._not_done if error.definite else self._unknown
        where[part.first] = BulkPart(part, error)

    def _record_done(self, part: Part, response: pb.TxnResponse) -> None:
        """Record the response to a part."""
        del self._unknown[part.first]
        self._done += len(part)
        self._revision = max(self._revision, response.header.revision)

    def _recorded(self, part: Part) -> BulkPart[ItemT]:
        """Return the record of a part that failed."""
        return self._unknown.get(part.first) or self._not_done[part.first]

    @property
    def _counts(self) -> str:
        """The number of items in each state, as text."""
        unknown = sum(map(len, self._unknown.values()))
        not_done = sum(map(len, self._not_done.values()))
        return f"read={self._read}, done={self._done}, unknown={unknown}, not_done={not_done}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._counts})"


class PutMany(BulkWrite[PutManyItem]):
    """The state and the result of `put_many`."""


class DeleteMany(BulkWrite[bytes]):
    """The state and the result of `delete_many`."""

    def __init__(self) -> None:
        super().__init__()
        self._deleted = 0

    @property
    def deleted(self) -> int:
        """The number of keys that the items that are done have deleted."""
        return self._deleted

    def _record_done(self, part: Part, response: pb.TxnResponse) -> None:
        super()._record_done(part, response)
        self._deleted += sum(op.response_delete_range.deleted for op in response.responses)

    @property
    def _counts(self) -> str:
        return f"{super()._counts}, deleted={self._deleted}"


ResultT = TypeVar("ResultT", PutMany, DeleteMany)


def new_result(kind: type[ResultT], given: object) -> ResultT:
    """Return `given`, or a new result if it is None; raise `TypeError` for another type."""
    if given is None:
        return kind()
    if not isinstance(given, kind):
        raise TypeError(f"result must be a {kind.__name__}, not {type(given).__name__}")
    return given


def _in_order(parts: dict[int, BulkPart[ItemT]]) -> list[BulkPart[ItemT]]:
    return [parts[first] for first in sorted(parts)]


class BulkError(ClientError):
    """A transaction of a bulk write failed; `result` shows which items are done.

    `part` has the items and the error of the transaction that failed first; the error is also the
    `__cause__`. No transaction was sent after the failure, and those in flight have ended.
    `definite` is True if no item is done or unknown.
    """

    result: PutMany | DeleteMany
    part: BulkPart[PutManyItem] | BulkPart[bytes]

    def __init__(
        self,
        message: str = "",
        *,
        result: PutMany | DeleteMany = NOT_GIVEN,
        part: BulkPart[PutManyItem] | BulkPart[bytes] = NOT_GIVEN,
        **fields: Any,
    ) -> None:
        super().__init__(message, **fields)
        self.result = result
        self.part = part
