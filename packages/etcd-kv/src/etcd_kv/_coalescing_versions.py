"""Checks whether gets may be coalesced, by the etcd version of the member in use.

Before 3.4.23 and 3.5.7 etcd can panic when a transaction that only reads is cancelled while it is
executed (etcd issues 14110 and 14891). It is not enough that the client cancels none: when a
connection breaks, etcd cancels the transactions in flight on it, so a client that is killed could
crash the member. Gets are coalesced only if the member is known to have a later version.
"""

from __future__ import annotations

import asyncio
from typing import Final

from etcd_channel import ChannelLike, ClientError
from etcd_channel.versions import member_version, version_numbers

__all__ = ["SafeMembers", "is_safe"]

# Seconds until a member is asked again, because it may have been upgraded.
_ASK_AGAIN: Final = 10.0


class SafeMembers:
    """The members that a channel has used and whose version is known to be safe."""

    def __init__(self, channel: ChannelLike) -> None:
        self.safe = False
        """Whether the member that was in use at the last check is safe."""
        self._channel = channel
        self._endpoints: set[str] = set()
        self._asking = False
        self._ask_at = 0.0

    def check(self) -> bool:
        """Return whether the member in use is known to be safe; if not, ask it for its version."""
        self.safe = self._channel.current_endpoint in self._endpoints
        if not self.safe and not self._asking:
            now = asyncio.get_running_loop().time()
            if now >= self._ask_at:
                self._asking, self._ask_at = True, now + _ASK_AGAIN
                self._channel.run_in_background(self._ask(self._channel.current_endpoint))
        return self.safe

    async def _ask(self, endpoint: str) -> None:
        try:
            version = await member_version(self._channel, endpoint)
        except ClientError:
            pass  # asked again later
        else:
            if is_safe(version):
                self._endpoints.add(endpoint)
                # If another member is in use by now, it may be asked at once.
                self._ask_at = 0.0
                self.safe = self._channel.current_endpoint in self._endpoints
        finally:
            self._asking = False


def is_safe(version: str) -> bool:
    """Whether a version of etcd survives the cancellation of a transaction of reads."""
    found = version_numbers(version)
    return found >= (3, 5, 7) or (3, 4, 23) <= found < (3, 5)
