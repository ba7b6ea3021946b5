"""What every service client is: methods on a channel."""

from __future__ import annotations

from etcd_channel.channel import Channel

__all__ = ["Service"]


class Service:
    """One etcd service on a channel that somebody else opens and closes."""

    def __init__(self, channel: Channel) -> None:
        if not isinstance(channel, Channel):
            raise TypeError(f"channel must be a Channel, not {type(channel).__name__}")
        self._channel = channel

    @property
    def channel(self) -> Channel:
        """The channel that the calls go through."""
        return self._channel

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._channel.endpoints)})"
