"""Checks arguments and builds requests; no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from etcd_channel.arguments import check_flag, check_int, check_name
from etcd_cluster.pb import cluster_pb2, maintenance_pb2

__all__ = [
    "checked_member_id",
    "checked_urls",
    "downgrade_request",
    "hash_kv_request",
    "member_add_request",
    "member_update_request",
    "move_leader_request",
]

_ID_MAX: Final = (1 << 64) - 1
_SCHEMES: Final = ("http", "https", "unix", "unixs")
_ADDRESS: Final = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]+):[^:]+")

_DOWNGRADES: Final = {
    "validate": maintenance_pb2.DowngradeRequest.VALIDATE,
    "enable": maintenance_pb2.DowngradeRequest.ENABLE,
    "cancel": maintenance_pb2.DowngradeRequest.CANCEL,
}


def checked_member_id(name: str, value: object, *, minimum: int = 1) -> int:
    """Return `value` if it can be a member's id; with `minimum` 0, 0 means all members."""
    return check_int(name, value, minimum=minimum, maximum=_ID_MAX)


def checked_urls(name: str, value: object) -> list[str]:
    """Return peer URLs as a list; each must be `scheme://host:port`, as etcd requires."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a sequence of URLs, not {type(value).__name__}")
    urls = list(value)
    if not urls:
        raise ValueError(f"{name} must not be empty: a member needs at least one URL")
    for index, url in enumerate(urls):
        _check_url(f"{name}[{index}]", url)
    return urls


def _check_url(name: str, url: object) -> None:
    if not isinstance(url, str):
        raise TypeError(f"{name} must be a str, not {type(url).__name__}")
    if "@" in url:
        # The URL is not shown, because it may contain a password.
        raise ValueError(f"{name} must not contain a user or a password: etcd's members have none")
    try:
        parts = urlsplit(url)
    except ValueError as cause:
        raise ValueError(f"{name} must be a URL, not {url!r}: {cause}") from cause
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"{name} must begin with http:// or https://, not {url!r}")
    if parts.path or parts.query or parts.fragment:
        raise ValueError(f"{name} must end with its port, not {url!r}")
    if not _ADDRESS.fullmatch(parts.netloc):
        raise ValueError(
            f"{name} must have a host and a port, such as http://host:2380, not {url!r}"
        )


def member_add_request(urls: Iterable[str], learner: bool) -> cluster_pb2.MemberAddRequest:
    """Build the request to add a member."""
    return cluster_pb2.MemberAddRequest(
        peerURLs=checked_urls("urls", urls), isLearner=check_flag("learner", learner)
    )


def member_update_request(
    member_id: int, peer_urls: Iterable[str]
) -> cluster_pb2.MemberUpdateRequest:
    """Build the request to change a member's peer URLs."""
    return cluster_pb2.MemberUpdateRequest(
        ID=checked_member_id("member_id", member_id),
        peerURLs=checked_urls("peer_urls", peer_urls),
    )


def hash_kv_request(revision: int | None) -> maintenance_pb2.HashKVRequest:
    """Build the request for a hash; None and 0 mean the newest revision."""
    return maintenance_pb2.HashKVRequest(
        revision=0 if revision is None else check_int("revision", revision)
    )


def move_leader_request(member_id: int) -> maintenance_pb2.MoveLeaderRequest:
    """Build the request to transfer the leadership."""
    return maintenance_pb2.MoveLeaderRequest(targetID=checked_member_id("member_id", member_id))


def downgrade_request(action: str, version: str | None = None) -> maintenance_pb2.DowngradeRequest:
    """Build a request about a downgrade; a cancellation has no version."""
    request = maintenance_pb2.DowngradeRequest(action=_DOWNGRADES[action])
    if version is not None or action != "cancel":
        request.version = check_name("version", version)
    return request
