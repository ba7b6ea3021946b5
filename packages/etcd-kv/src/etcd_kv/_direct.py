"""`DirectCalls`, what a view has that takes plain calls on single keys without messages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any

from etcd_kv.results import Delete, Get, Put

__all__ = ["DirectCalls"]


class DirectCalls(ABC):
    """Takes what a call needs, and returns its result: no request and no response is made.

    The arguments are checked already, but for `timeout`. The calls have the results and the
    errors of those that `KVClient` makes by `call`.
    """

    @abstractmethod
    def get(
        self, key: bytes, serializable: bool, timeout: float | None
    ) -> Coroutine[Any, Any, Get | None]:
        """Read a key."""

    @abstractmethod
    def put(self, key: bytes, value: bytes, timeout: float | None) -> Coroutine[Any, Any, Put]:
        """Put a key without a lease."""

    @abstractmethod
    def delete(self, key: bytes, timeout: float | None) -> Coroutine[Any, Any, Delete | None]:
        """Delete a key."""
