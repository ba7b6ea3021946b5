"""etcd's members and maintenance for asyncio: status, alarms, defragment, hash, snapshot, move leader."""

__version__ = "0.1.0"

__all__: list[str] = []
