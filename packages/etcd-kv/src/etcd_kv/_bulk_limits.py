"""The server's limits on one transaction: those given by the caller, and those learned."""

from __future__ import annotations

from typing import Final

from etcd_channel import ChannelLike, ClientError
from etcd_channel.arguments import check_int
from etcd_channel.errors import (
    RequestTooLargeError,
    ResourceExhaustedError,
    TooManyOperationsError,
)
from etcd_kv._bulk_parts import Part

__all__ = ["BulkLimits", "LearnedLimits"]

_MAX_TXN_OPS: Final = 128
_MAX_REQUEST_BYTES: Final = 1536 * 1024
# Bytes that etcd may add to a request before it checks the size: an id, the user's name and two
# revisions.
_ADDED_BY_ETCD: Final = 512
# In gRPC's error for a response that is larger than the channel's options allow.
_RESPONSE_TOO_LARGE: Final = "larger than max"


class LearnedLimits:
    """The limits that refused transactions have shown; shared by all operations on a channel."""

    def __init__(self, channel: ChannelLike) -> None:
        self.operations: int | None = None
        self.size: int | None = None


class BulkLimits:
    """The limits of one bulk operation: of each, the lower of the given and the learned value."""

    def __init__(
        self,
        channel: ChannelLike,
        max_txn_ops: int | None,
        max_request_bytes: int | None,
    ) -> None:
        self._operations = (
            _MAX_TXN_OPS
            if max_txn_ops is None
            else check_int("max_txn_ops", max_txn_ops, minimum=1)
        )
        given = (
            _MAX_REQUEST_BYTES
            if max_request_bytes is None
            else check_int("max_request_bytes", max_request_bytes, minimum=1)
        )
        self._size = max(given - _ADDED_BY_ETCD, 1)
        self._learned = channel.shared(LearnedLimits)

    @property
    def operations(self) -> int:
        """The maximum number of operations in a transaction."""
        learned = self._learned.operations
        return self._operations if learned is None else min(self._operations, learned)

    @property
    def size(self) -> int:
        """The maximum number of bytes in a request; a larger single operation is sent alone."""
        learned = self._learned.size
        return self._size if learned is None else min(self._size, learned)

    def smaller(self, refused: Part, error: ClientError) -> list[Part]:
        """Split a refused transaction; return an empty list if that does not help.

        Half of what was refused becomes the limit, unless the limit is lower already. A single
        operation cannot be split, so it changes no limit.
        """
        if len(refused) < 2:
            return []
        if isinstance(error, ResourceExhaustedError) and _RESPONSE_TOO_LARGE in error.message:
            # Only for this call: others may read smaller values.
            self._operations = min(self._operations, len(refused) // 2)
        elif not self.learn(error, len(refused), refused.size):
            return []
        return refused.split(self.operations, self.size)

    def learn(self, error: ClientError, operations: int, size: int) -> bool:
        """Lower the limit that a refused request exceeded; return False for other errors."""
        learned = self._learned
        if isinstance(error, TooManyOperationsError):
            learned.operations = min(self.operations, operations // 2)
        elif isinstance(error, RequestTooLargeError):
            learned.size = min(self.size, max(size // 2, 1))
        else:
            return False
        return True
