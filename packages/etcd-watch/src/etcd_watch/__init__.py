"""etcd's watches for asyncio: many on a stream, resumed after every break without loss or repetition."""

__version__ = "0.1.0"

__all__: list[str] = []
