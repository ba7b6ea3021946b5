"""The documented module `aetcd.members`."""

from etcd_cluster import Member

__all__ = ["Member"]
