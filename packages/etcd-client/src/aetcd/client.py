"""The documented module `aetcd.client`."""

from etcd_client import Client
from etcd_kv import Transactions

__all__ = ["Client", "Transactions"]
