"""`IterableElsewhere`: a source of bulk operations that is read outside of the event loop.

For packages that are built on bulk operations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["IterableElsewhere"]


class IterableElsewhere(ABC):
    """An iterable whose iterator must not be called in the event loop, given as a source."""

    @abstractmethod
    async def read(self, take: Callable[[Iterator[Any]], bool]) -> bool:
        """Call `take` with the iterator, where that may be called, and return its result.

        `take` reads from the iterator until it has enough, and returns False if the iterator has
        ended; `read` is not called again then. An exception of the iterator is raised.
        """
