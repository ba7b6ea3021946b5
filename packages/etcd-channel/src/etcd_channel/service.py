"""`Service`, the base class of the service clients."""

from __future__ import annotations

from etcd_channel.base_classes import NonCopyable
from etcd_channel.channel import Channel
from etcd_channel.deadline import Deadline
from etcd_channel.view import ChannelLike, ChannelView

__all__ = ["Service", "channel_of"]


class Service(NonCopyable):
    """The base class of a client of one etcd service.

    `channel` is a channel, a view of one, or another service client, whose channel is used. The
    service client neither opens nor closes it.
    """

    def __init__(self, channel: ChannelLike | Service) -> None:
        self._channel = channel_of(channel, "channel")

    @property
    def channel(self) -> ChannelLike:
        """The channel or view through which the calls are sent."""
        return self._channel

    def _deadline(self, timeout: float | None) -> Deadline:
        """Return the deadline of a method that makes several calls.

        `timeout` is the argument of the method: the seconds for all of its calls together; None
        means the channel's timeout. Raises what `check_timeout` raises.
        """
        return Deadline.of("timeout", self._channel.timeout if timeout is None else timeout)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._channel.endpoints)})"


def channel_of(client: ChannelLike | Service, name: str = "client") -> ChannelLike:
    """Return the channel or view of a service client; return a channel or view unchanged.

    Raises `TypeError` for anything else, with `name` as the name of the argument.
    """
    if isinstance(client, Service):
        return client.channel
    if isinstance(client, (Channel, ChannelView)):
        return client
    raise TypeError(
        f"{name} must be a Channel, a view or a service client on one, not {type(client).__name__}"
    )
