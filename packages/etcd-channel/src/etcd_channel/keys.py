"""`Keys` says where the messages of an RPC have keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["NO_KEYS", "KeyFields", "Keys"]


class KeyFields:
    """The fields of a message that have keys.

    `names` are bytes fields, single or repeated: a key each, or the name of a lock or an election,
    below which the server puts its keys. `range_end` is the field with the end of the range that
    begins at the key; it is empty if the message has none. `within` maps the names of fields that
    hold other messages, single or repeated, to the fields with keys in these.
    """

    __slots__ = ("_names", "_range_end", "_within")

    def __init__(
        self, *names: str, range_end: str = "", within: Mapping[str, KeyFields] | None = None
    ) -> None:
        self._names = names
        self._range_end = range_end
        self._within: Mapping[str, KeyFields] = {} if within is None else within

    @property
    def names(self) -> tuple[str, ...]:
        """The fields that are keys."""
        return self._names

    @property
    def range_end(self) -> str:
        """The field with the end of the range; empty if there is none."""
        return self._range_end

    @property
    def within(self) -> Mapping[str, KeyFields]:
        """The fields that hold messages, and the fields with keys in these."""
        return self._within

    def __repr__(self) -> str:
        # Without `within`: a message may hold messages of its own kind.
        return f"KeyFields(names={self.names!r}, range_end={self.range_end!r})"


class Keys:
    """Where the request and the response of an RPC have keys; None means that it has none.

    It is a part of the row of the RPC, `Rpc.keys`.
    """

    __slots__ = ("_request", "_response")

    def __init__(self, request: KeyFields | None = None, response: KeyFields | None = None) -> None:
        self._request = request
        self._response = response

    @property
    def request(self) -> KeyFields | None:
        """The fields of the request."""
        return self._request

    @property
    def response(self) -> KeyFields | None:
        """The fields of the response."""
        return self._response

    def __repr__(self) -> str:
        return f"Keys(request={self.request!r}, response={self.response!r})"


NO_KEYS: Final = Keys()
"""The `Rpc.keys` of an RPC whose messages have no keys, and which can be called in a namespace."""
