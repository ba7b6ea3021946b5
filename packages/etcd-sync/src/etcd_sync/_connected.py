"""`Connected`, the base class of clients that are opened and closed by a `with` block."""

from __future__ import annotations

from abc import abstractmethod
from types import TracebackType
from typing import TypeVar

from etcd_sync._handle import Service

__all__ = ["Connected"]

ConnectedT = TypeVar("ConnectedT", bound="Connected")


class Connected(Service):
    """A client that connects when it is entered, and is closed when it is left."""

    @abstractmethod
    def connect(self) -> None:
        """Connect to the cluster."""

    @abstractmethod
    def close(self) -> None:
        """Close what the client has opened."""

    def __enter__(self: ConnectedT) -> ConnectedT:
        try:
            self.connect()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
