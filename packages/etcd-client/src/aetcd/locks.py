"""The documented module `aetcd.locks`."""

from etcd_lock import Lock

__all__ = ["Lock"]
