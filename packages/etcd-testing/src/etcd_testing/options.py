"""The options of a server, for what makes servers of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TypedDict

from .tls import TLSFiles

__all__ = ["ServerOptions"]


class ServerOptions(TypedDict, total=False):
    """The options of an `EtcdServer` but its name, for what makes servers."""

    host: str
    client_port: int
    peer_port: int
    tls: TLSFiles | bool
    client_cert_auth: bool
    auth_token: str | None
    auth_token_ttl: int | None
    quota_backend_bytes: int | None
    unix_socket: bool
    log_level: str
    args: Sequence[str]
    env: Mapping[str, str] | None
    data_dir: str | os.PathLike[str] | None
    bin_dir: str | os.PathLike[str] | None
    start_timeout: float
