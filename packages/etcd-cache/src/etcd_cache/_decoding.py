"""How the values of a cache are decoded, and what is done with those that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Literal, TypeVar, get_args

from etcd_cache.entry import CacheEntry, detached
from etcd_cache.errors import CacheDecodeError
from etcd_channel import KeyValueLike
from etcd_channel.arguments import check_callback, check_choice

__all__ = ["Decoding", "OnUndecodable"]

V = TypeVar("V")

OnUndecodable = Literal["keep", "drop", "raise"]
"""What is done with a value that cannot be decoded: the last good one stays, the key counts as
deleted, or the cache ends."""


class Decoding(Generic[V]):
    """The function that decodes values, and the policy for those that it raises for."""

    def __init__(self, decode: Callable[[bytes], V], on_undecodable: OnUndecodable) -> None:
        check_callback("decode", decode)
        check_choice("on_undecodable", on_undecodable, get_args(OnUndecodable))
        self._decode = decode
        self.keeps = on_undecodable == "keep"
        """Whether the last good value stays."""
        self._raises = on_undecodable == "raise"

    def entry(self, keyvalue: KeyValueLike) -> CacheEntry[V] | Exception:
        """Return the entry of a key, or the exception that `decode` raised.

        Raises `CacheDecodeError` if the cache is to end.
        """
        try:
            value = self._decode(keyvalue.value)
        except Exception as error:
            if self._raises:
                raise CacheDecodeError(
                    f"the value of {keyvalue.key!r} at revision {keyvalue.mod_revision} cannot be"
                    f" decoded: {type(error).__name__}"
                ) from error
            return error
        return CacheEntry(detached(keyvalue, with_value=False), value)
