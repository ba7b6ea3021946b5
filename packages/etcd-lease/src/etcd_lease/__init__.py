"""etcd's leases for asyncio: grant, revoke, time to live, one keep-alive stream for all.

    from etcd_channel import Channel
    from etcd_lease import LeaseClient

    async with Channel("localhost:2379") as channel:
        client = LeaseClient(channel)
        async with client.lease(10, keep_alive=True) as lease:
            ...

`Lease` says what a program may rely on.
"""

import logging

from etcd_lease.client import LeaseClient
from etcd_lease.errors import LeaseExpiredError
from etcd_lease.lease import Lease, Loss, PendingLease
from etcd_lease.results import LeaseInfo, LeaseRefresh

# A library says nothing on stderr; who wants to hear of outages adds a handler.
logging.getLogger("etcd_lease").addHandler(logging.NullHandler())

__version__ = "0.1.0"

__all__ = [
    "Lease",
    "LeaseClient",
    "LeaseExpiredError",
    "LeaseInfo",
    "LeaseRefresh",
    "Loss",
    "PendingLease",
]
