"""The base class of async context managers that start when entered and close when left."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

from ._finish import finish
from ._non_copyable import NonCopyable

__all__ = ["Running"]

RunningT = TypeVar("RunningT", bound="Running")


class Running(NonCopyable, ABC):
    """Has `start` and `close`, which `async with` calls."""

    @abstractmethod
    async def start(self) -> None:
        """Start it."""

    @abstractmethod
    async def close(self) -> None:
        """Close it; idempotent."""

    async def __aenter__(self: RunningT) -> RunningT:
        try:
            await self.start()
        except BaseException as error:
            await finish(self.close(), error)
            raise
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await finish(self.close(), error)
