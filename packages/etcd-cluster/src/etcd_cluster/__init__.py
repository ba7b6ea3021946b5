"""etcd's members and maintenance for asyncio: status, alarms, defragment, hash, snapshot.

from etcd_channel import Channel
from etcd_cluster import ClusterClient, MaintenanceClient

async with Channel("localhost:2379") as channel:
    for member in await ClusterClient(channel).members():
        print(member.name, await MaintenanceClient(channel).status(endpoint=member.endpoint))
"""

import logging

from etcd_cluster._files import BinaryWriter
from etcd_cluster.alarms import Alarm, AlarmName, AlarmType
from etcd_cluster.cluster import ClusterClient
from etcd_cluster.errors import SnapshotDamagedError
from etcd_cluster.listing import Listing
from etcd_cluster.maintenance import MaintenanceClient
from etcd_cluster.members import Member
from etcd_cluster.results import Defragmentation, DowngradeInfo, HashKV, MemberStatus, Status
from etcd_cluster.snapshot import Snapshot

# Without a handler, logging would write to stderr. Programs that want the log add their own.
logging.getLogger("etcd_cluster").addHandler(logging.NullHandler())

__version__ = "0.1.0"

__all__ = [
    "Alarm",
    "AlarmName",
    "AlarmType",
    "BinaryWriter",
    "ClusterClient",
    "Defragmentation",
    "DowngradeInfo",
    "HashKV",
    "Listing",
    "MaintenanceClient",
    "Member",
    "MemberStatus",
    "Snapshot",
    "SnapshotDamagedError",
    "Status",
]
