"""Locks, sessions, mutexes and elections on etcd for asyncio."""

__version__ = "0.1.0"

__all__: list[str] = []
