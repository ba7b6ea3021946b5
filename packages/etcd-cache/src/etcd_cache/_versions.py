"""Whether the progress that etcd reports can be relied on, by the version of the member in use.

Before 3.4.25 and 3.5.8 etcd answers a progress request ahead of events that are still to come (etcd
issue 15220).
"""

from __future__ import annotations

from etcd_channel import ChannelLike, ClientError
from etcd_channel.versions import member_version, version_numbers

__all__ = ["ProgressVersions", "is_reliable"]


class ProgressVersions:
    """The members that a channel has used, and whether their progress is reliable."""

    def __init__(self, channel: ChannelLike) -> None:
        self._channel = channel
        self._reliable: dict[str, bool] = {}

    async def is_reliable(self, timeout: float | None) -> bool:
        """Ask the member in use for its version, if it is not known yet."""
        endpoint = self._channel.current_endpoint
        known = self._reliable.get(endpoint)
        if known is None:
            try:
                version = await member_version(self._channel, endpoint, timeout=timeout)
            except ClientError:
                return False
            known = self._reliable[endpoint] = is_reliable(version)
        return known


def is_reliable(version: str) -> bool:
    """Whether a version of etcd reports progress after all events up to it."""
    found = version_numbers(version)
    return found >= (3, 5, 8) or (3, 4, 25) <= found < (3, 5)
