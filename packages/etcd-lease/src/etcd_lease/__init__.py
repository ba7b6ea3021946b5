"""etcd's leases for asyncio: grant, revoke, time to live, and keep-alive on a few shared streams.

    from etcd_channel import Channel
    from etcd_lease import LeaseClient

    async with Channel("localhost:2379") as channel:
        client = LeaseClient(channel)
        async with client.lease(10, keep_alive=True) as lease:
            ...

The docstring of `Lease` lists what a program may rely on.
"""

import logging

from etcd_lease.client import LeaseClient
from etcd_lease.errors import LeaseExpiredError
from etcd_lease.lease import Lease, LeaseCalls, PendingLease
from etcd_lease.loss import LeaseLoss
from etcd_lease.results import LeaseInfo, LeaseRefresh

# A library writes nothing to stderr; a program that wants the warnings adds a handler.
logging.getLogger("etcd_lease").addHandler(logging.NullHandler())

__version__ = "0.1.0"

__all__ = [
    "Lease",
    "LeaseCalls",
    "LeaseClient",
    "LeaseExpiredError",
    "LeaseInfo",
    "LeaseLoss",
    "LeaseRefresh",
    "PendingLease",
]
