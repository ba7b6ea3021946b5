"""Divides the items of bulk operations into transactions within the server's limits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, ClassVar, Protocol

from etcd_channel import LeaseLike
from etcd_channel.arguments import check_bytes, check_flag, check_int, check_key, check_lease_id
from etcd_kv._bulk_parts import OVERHEAD, Part
from etcd_kv._encoding import DELETE, GET, key_operation
from etcd_kv.pb import kv_pb2 as pb

__all__ = ["Cutter", "DeleteCutter", "GetCutter", "PutCutter"]


class Limits(Protocol):
    """The limits of a part; they may become lower at any time."""

    @property
    def operations(self) -> int: ...
    @property
    def size(self) -> int: ...


class Cutter(ABC):
    """Takes the items of a source, checks them, and divides them into parts.

    After an invalid item it takes no more items, and `refusal` is the error of that item.
    """

    def __init__(self, argument: str, limits: Limits, *, leased: bool = False) -> None:
        self._argument = argument
        self._limits = limits
        self._part = Part(0, leased=leased)
        # The item that did not fit into the part, if any: the first item of the next part.
        self._held: list[Any] = []
        self.refusal: TypeError | ValueError | None = None

    def fill(self, items: Iterable[Any]) -> bool:
        """Take items until the part is full, and return True; return False if `items` ended."""
        if self.refusal is not None:
            return True
        held, self._held = self._held, []
        try:
            return self._fill(chain(held, items) if held else iter(items))
        except _RefusedError as refused:
            self.refusal = refused.error
            return True

    @abstractmethod
    def _fill(self, items: Iterator[Any]) -> bool:
        """Do what `fill` does, and raise `_RefusedError` for an invalid item."""

    def take(self) -> Part | None:
        """Return the current part and begin the next one; return None if it is empty."""
        part = self._part
        if not part.size:
            return None
        self._part = Part(part.first + len(part), leased=part.leased)
        return part

    def rest(self) -> list[Part]:
        """Return all items that were taken and not returned yet, as parts."""
        parts = []
        self.fill(())
        while part := self.take():
            parts.append(part)
            self.fill(())
        return parts


class _RefusedError(Exception):  # distinguishes the error of an item from those of the source
    def __init__(self, error: TypeError | ValueError) -> None:
        super().__init__(error)
        self.error = error


class PutCutter(Cutter):
    """Divides pairs into parts of puts; etcd accepts each key only once in a transaction."""

    def __init__(self, limits: Limits, lease: LeaseLike | None) -> None:
        self._lease = 0 if lease is None else check_lease_id("lease", lease, none=True)
        super().__init__("pairs", limits, leased=self._lease != 0)

    def _fill(self, items: Iterator[Any]) -> bool:
        # The hot loop of bulk writes. Setting the fields of a message takes a quarter of the time
        # of its constructor; encoding the bytes by hand would save little more.
        part, common = self._part, self._lease
        keys, add = part.keys, part.request.success.add
        most, largest = self._limits.operations, self._limits.size
        count, size = len(part), part.size
        try:
            for item in items:
                lease = common
                if type(item) is tuple and len(item) == 2:
                    key, value = item
                    if type(key) is not bytes or type(value) is not bytes or not key:
                        key, value, lease = self._checked(item, part.first + count)
                else:
                    key, value, lease = self._checked(item, part.first + count)
                more = size + len(key) + len(value) + OVERHEAD
                if (more > largest and count) or key in keys:
                    self._held = [item]
                    return True
                put = add().request_put
                put.key = key
                put.value = value
                if lease:
                    put.lease = lease
                keys.add(key)
                size = more
                count += 1
                if count >= most:
                    return True
            return False
        finally:
            part.size = size

    def _checked(self, item: Any, position: int) -> tuple[bytes, bytes, int]:
        where = f"{self._argument}[{position}]"
        try:
            if not isinstance(item, (tuple, list)):
                raise TypeError(
                    f"{where} must be (key, value) or (key, value, lease),"
                    f" not {type(item).__name__}"
                )
            if not 2 <= len(item) <= 3:
                raise ValueError(
                    f"{where} must be (key, value) or (key, value, lease), not {len(item)} fields"
                )
            key = check_key(f"{where}[0]", item[0])
            value = check_bytes(f"{where}[1]", item[1])
            lease = self._lease
            if len(item) == 3:
                own = item[2]
                lease = 0 if own is None else check_lease_id(f"{where}[2]", own, none=True)
        except (TypeError, ValueError) as error:
            raise _RefusedError(error) from None
        return key, value, lease


class _KeyCutter(Cutter):
    """Divides keys into parts of operations, in which a key may be repeated."""

    _tag: ClassVar[bytes]
    """The field of a request in an operation."""

    def __init__(self, limits: Limits) -> None:
        super().__init__("keys", limits)

    def _fill(self, items: Iterator[Any]) -> bool:
        # The hot loop of bulk reads: most keys have the same length, and so the same prefix.
        part, rest = self._part, self._rest()
        encoded: list[bytes] = []
        prefixes: dict[int, bytes] = {}
        most, largest = self._limits.operations, self._limits.size
        count, size = len(part), part.size
        try:
            for item in items:
                key = item
                if type(key) is not bytes or not key:
                    key = self._checked(key, part.first + count)
                length = len(key)
                more = size + length + OVERHEAD
                if more > largest and count:
                    self._held = [item]
                    return True
                prefix = prefixes.get(length)
                if prefix is None:
                    prefix = prefixes[length] = key_operation(self._tag, length, len(rest))
                encoded += (prefix, key, rest)
                size = more
                count += 1
                if count >= most:
                    return True
            return False
        finally:
            part.size = size
            part.request.MergeFromString(b"".join(encoded))

    @abstractmethod
    def _rest(self) -> bytes:
        """Return the fields of a request beside its key."""

    def _checked(self, key: Any, position: int) -> bytes:
        try:
            return check_key(f"{self._argument}[{position}]", key)
        except (TypeError, ValueError) as error:
            raise _RefusedError(error) from None


class DeleteCutter(_KeyCutter):
    """Divides keys into parts of deletions."""

    _tag = DELETE

    def _rest(self) -> bytes:
        return b""


class GetCutter(_KeyCutter):
    """Divides keys into parts of reads at `revision`; 0 means the newest revision."""

    _tag = GET

    def __init__(
        self, limits: Limits, *, revision: int | None, keys_only: bool, serializable: bool
    ) -> None:
        super().__init__(limits)
        self.revision = 0 if revision is None else check_int("revision", revision)
        self._keys_only = check_flag("keys_only", keys_only)
        self._serializable = check_flag("serializable", serializable)

    def _rest(self) -> bytes:
        return pb.RangeRequest(
            revision=self.revision, keys_only=self._keys_only, serializable=self._serializable
        ).SerializeToString()
