"""A real etcd for tests: servers, clusters and a fault proxy, as a pytest plugin."""

__version__ = "0.1.0"

__all__: list[str] = []
