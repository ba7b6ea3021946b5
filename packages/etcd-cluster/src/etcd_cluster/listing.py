"""A result that can be awaited or iterated over."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from etcd_channel import NonCopyable

__all__ = ["Listing"]

T = TypeVar("T")


class Listing(NonCopyable, Generic[T]):
    """Several results: `await` returns them as a list, `async for` yields them one by one.

    Nothing is sent before that; each `await` and each `async for` makes its own calls.
    """

    def __init__(self, what: str, ask: Callable[[], AsyncGenerator[T, None]]) -> None:
        self._what = what
        self._ask = ask

    def __repr__(self) -> str:
        return f"Listing({self._what})"

    def __await__(self) -> Generator[Any, None, list[T]]:
        return self._all().__await__()

    def __aiter__(self) -> AsyncGenerator[T, None]:
        return self._ask()

    async def _all(self) -> list[T]:
        async with aclosing(self._ask()) as results:
            return [result async for result in results]
