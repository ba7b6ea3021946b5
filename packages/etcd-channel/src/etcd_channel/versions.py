"""Asks a member for its version of etcd, for what depends on a defect of some versions."""

from __future__ import annotations

import re
from typing import Final

from etcd_channel.keys import NO_KEYS
from etcd_channel.pb import common_pb2 as pb
from etcd_channel.rpc import Rpc
from etcd_channel.view import ChannelLike

__all__ = ["member_version", "version_numbers"]

# The messages of Maintenance.Status belong to etcd-cluster, on which the packages of keys do not
# depend. The request has no fields, and an empty message has no bytes. Field 2 of the response is
# `version`, a string, as `token` is in the message that stands for it.
_STATUS: Final = Rpc(
    "/etcdserverpb.Maintenance/Status",
    pb.AuthenticateRequest,
    pb.AuthenticateResponse,
    repeatable=True,
    keys=NO_KEYS,
)


async def member_version(
    channel: ChannelLike, endpoint: str, *, timeout: float | None = None
) -> str:
    """Ask the member at `endpoint` for its version of etcd, such as "3.5.16".

    `timeout` is the number of seconds, None means the channel's timeout. Raises a `ClientError`.
    """
    status = await channel.call(
        _STATUS, pb.AuthenticateRequest(), timeout=timeout, endpoint=endpoint
    )
    return status.token


def version_numbers(version: str) -> tuple[int, ...]:
    """Return the three numbers of a version, to be compared; none if it does not begin so."""
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    return () if numbers is None else tuple(map(int, numbers.groups()))
