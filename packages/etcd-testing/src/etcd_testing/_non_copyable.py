"""The base of objects with a process or a connection, which cannot be copied or pickled."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex

__all__ = ["NonCopyable"]


class NonCopyable:
    """An object with a process or a connection, which cannot be copied: a copy could stop it."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        name = type(self).__name__
        article = "an" if name[0] in "AEIOU" else "a"
        raise TypeError(
            f"{article} {name} cannot be copied or pickled: it runs in this process."
            " Pass its endpoint on instead"
        )
