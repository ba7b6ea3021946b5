"""The documented module `aetcd.leases`."""

from etcd_lease import Lease

__all__ = ["Lease"]
