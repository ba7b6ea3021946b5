"""The ground floor of the etcd client for Python: endpoints, TLS, tokens, deadlines, retries, errors."""

__version__ = "0.1.0"

__all__: list[str] = []
