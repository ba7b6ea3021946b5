"""The isolation levels, the result and the error of `KVClient.stm`."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Generic, Literal, TypeVar

from etcd_channel import ClientError, Record, ResponseHeader

__all__ = ["Isolation", "STMResult", "STMTimeoutError"]

ValueT = TypeVar("ValueT", covariant=True)

Isolation = Literal["serializable_snapshot", "serializable", "repeatable_reads", "read_committed"]
"""The isolation level of `KVClient.stm`; each one is weaker than the one before."""

_NO_HEADER: Final = ResponseHeader()


class STMResult(Record, Generic[ValueT]):
    """The result of `KVClient.stm`."""

    _fields: ClassVar[tuple[str, ...]] = ("value", "header", "attempts")
    __slots__ = ("_attempts", "_header", "_value")

    def __init__(
        self, value: ValueT, header: ResponseHeader = _NO_HEADER, attempts: int = 1
    ) -> None:
        self._value = value
        self._header = header
        self._attempts = attempts

    @property
    def value(self) -> ValueT:
        """The return value of the body in the attempt that was committed."""
        return self._value

    @property
    def header(self) -> ResponseHeader:
        """The header of the commit; its revision is that of the writes.

        If the body wrote nothing, it is the header of the reads. At the levels that read at one
        revision, it has this revision. All its fields are 0 if the body neither read nor wrote.
        """
        return self._header

    @property
    def attempts(self) -> int:
        """The number of times that the body was run."""
        return self._attempts

    @property
    def revision(self) -> int:
        """The revision in `header`."""
        return self.header.revision


class STMTimeoutError(ClientError, TimeoutError):
    """The timeout passed before a transaction of `KVClient.stm` could be committed.

    Nothing was written. `attempts` is the number of times that the body was run. All attempts
    before the last one, and possibly the last one too, conflicted with other writes.
    """

    attempts: int

    def __init__(self, message: str = "", *, attempts: int = 0, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.attempts = attempts
