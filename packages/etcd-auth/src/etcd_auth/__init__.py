"""etcd's authentication service for asyncio: users, roles, permissions."""

__version__ = "0.1.0"

__all__: list[str] = []
