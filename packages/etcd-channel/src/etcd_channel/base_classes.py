"""Base classes of objects that are bound to a connection, and so to one process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NoReturn, SupportsIndex, TypeVar

from etcd_channel.tasks import finish

__all__ = ["Connected", "NonCopyable"]

ConnectedT = TypeVar("ConnectedT", bound="Connected")


class NonCopyable:
    """The base class of objects on a connection; copying or pickling them raises `TypeError`.

    A copy would share the connection and could close it for the original. In another process the
    connection does not exist.
    """

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        # `copy.copy`, `copy.deepcopy` and `pickle` all call this.
        name = type(self).__name__
        article = "an" if name[0] in "AEIOU" else "a"
        raise TypeError(
            f"{article} {name} cannot be copied or pickled: it uses a connection of this"
            " process. Make a new one where it is needed"
        )


class Connected(NonCopyable, ABC):
    """The base class of async context managers that connect when entered and close when left."""

    __slots__ = ()

    @abstractmethod
    async def connect(self) -> None:
        """Connect to the cluster."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections; idempotent."""

    async def __aenter__(self: ConnectedT) -> ConnectedT:
        try:
            await self.connect()
        except BaseException as error:
            # A failed `async with` never calls `__aexit__`.
            await finish(self.close(), error)
            raise
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await finish(self.close(), error)
