"""etcd's key-value service for asyncio: get, put, delete, ranges, transactions, compaction."""

__version__ = "0.1.0"

__all__: list[str] = []
