"""etcd's leases for asyncio: grant, revoke, time to live, and one keep-alive stream for all of them."""

__version__ = "0.1.0"

__all__: list[str] = []
