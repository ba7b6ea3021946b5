"""The compares and operations of transactions, as `client.transactions` builds them."""

from etcd_kv.transactions import Create, Delete, Get, Mod, Put, Txn, Value, Version

__all__ = ["Create", "Delete", "Get", "Mod", "Put", "Txn", "Value", "Version"]
