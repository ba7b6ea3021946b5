"""A real etcd for tests: servers, clusters and a fault proxy, as a pytest plugin."""

from .binaries import binary_version, find_binary
from .errors import BinaryNotFoundError, EtcdctlError, EtcdTestingError, StartError
from .server import EtcdServer
from .tls import TLSFiles

__version__ = "0.1.0"

__all__ = [
    "BinaryNotFoundError",
    "EtcdServer",
    "EtcdTestingError",
    "EtcdctlError",
    "StartError",
    "TLSFiles",
    "binary_version",
    "find_binary",
]
