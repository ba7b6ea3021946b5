"""The etcd client for Python: asyncio, typed, complete; also importable as aetcd."""

__version__ = "0.1.0"

__all__: list[str] = []
