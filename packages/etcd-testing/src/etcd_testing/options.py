"""The options of `EtcdServer` as a type."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

from .tls import TLSFiles

if TYPE_CHECKING:
    from typing_extensions import Unpack
else:
    try:
        from typing import Unpack
    except ImportError:  # Python 3.10

        class Unpack:
            """Lets `typing.get_type_hints` evaluate `Unpack[ServerOptions]`, to its argument."""

            def __class_getitem__(cls, options: type) -> type:
                return options


__all__ = ["ServerOptions", "Unpack"]


class ServerOptions(TypedDict, total=False):
    """The options of an `EtcdServer` except its name, for functions that make servers."""

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
