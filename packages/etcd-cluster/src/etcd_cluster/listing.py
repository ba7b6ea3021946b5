"""A result that one may await, or go through."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from typing import Any, Generic, TypeVar

__all__ = ["Listing"]

T = TypeVar("T")


class Listing(Generic[T]):
    """Several results, either way: `await` gives them as a list, `async for` one by one.

    Nothing is asked before one of the two, and each time anew.
    """

    def __init__(self, ask: Callable[[], AsyncGenerator[T, None]]) -> None:
        self._ask = ask

    def __await__(self) -> Generator[Any, None, list[T]]:
        return self._all().__await__()

    def __aiter__(self) -> AsyncGenerator[T, None]:
        return self._ask()

    async def _all(self) -> list[T]:
        async with aclosing(self._ask()) as results:
            return [result async for result in results]
