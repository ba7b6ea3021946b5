"""The documented module `aetcd.client`."""

from etcd_client import Client
from etcd_cluster import Alarm, Status
from etcd_kv import Transactions

__all__ = ["Alarm", "Client", "Status", "Transactions"]
