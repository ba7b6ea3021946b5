"""A real etcd for tests: servers, clusters and proxies, as a pytest plugin."""

from .binaries import binary_version, find_binary
from .cancelling import cancel_everywhere
from .cluster import EtcdCluster
from .errors import BinaryNotFoundError, EtcdctlError, EtcdTestingError, StartError
from .etcdctl import EtcdctlSession
from .grpc_proxy import GrpcProxy
from .options import ServerOptions
from .proxy import Counters, Direction, FaultProxy
from .server import EtcdServer
from .tls import TLSFiles

__version__ = "0.1.0"

__all__ = [
    "BinaryNotFoundError",
    "Counters",
    "Direction",
    "EtcdCluster",
    "EtcdServer",
    "EtcdTestingError",
    "EtcdctlError",
    "EtcdctlSession",
    "FaultProxy",
    "GrpcProxy",
    "ServerOptions",
    "StartError",
    "TLSFiles",
    "binary_version",
    "cancel_everywhere",
    "find_binary",
]
