"""An endpoint of a service, as it is written in etcd."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from etcd_channel.arguments import check_bytes, check_name

__all__ = ["Endpoint"]

_ADD = 0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint of a service, in the JSON layout of `naming/endpoints` of etcd's Go client."""

    address: str
    """Where it can be reached, for example "10.0.0.7:9000"."""
    metadata: object = None
    """Anything that JSON can hold; None if there is none."""
    key: bytes = b""
    """The key in etcd; empty for an endpoint that was not read."""

    def to_json(self) -> bytes:
        """Return the value of the key.

        Raises `TypeError` or `ValueError` if JSON cannot hold the metadata.
        """
        update = {
            "Op": _ADD,
            "Addr": check_name("address", self.address),
            "Metadata": self.metadata,
        }
        return json.dumps(update, separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def from_json(cls, value: bytes, key: bytes = b"") -> Endpoint | None:
        """Parse the value of a key; return None if it is not an endpoint."""
        try:
            update = json.loads(check_bytes("value", value))
        except (ValueError, RecursionError):
            return None
        if not isinstance(update, Mapping) or update.get("Op", _ADD) != _ADD:
            return None
        address = update.get("Addr")
        if not isinstance(address, str) or not address:
            return None
        return cls(address, update.get("Metadata"), key)
