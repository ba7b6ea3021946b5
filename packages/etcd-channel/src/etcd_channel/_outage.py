"""Logs the outages of a channel: one warning when one begins, one line when it ends."""

from __future__ import annotations

import logging
import time

from etcd_channel import errors

__all__ = ["Outage", "is_loss"]

_log = logging.getLogger("etcd_channel")

# Subclasses are errors of a member that answers, such as one without a leader.
_LOSSES = (errors.ConnectionFailedError, errors.ConnectionTimeoutError, errors.TLSHandshakeError)


def is_loss(error: errors.ClientError) -> bool:
    """Whether an error of a stream or a probe means that the connection to a member was lost."""
    return type(error) in _LOSSES


class Outage:
    """The time from the loss of a member until the channel has one that answers.

    An outage is one of the channel: the calls and streams that fail during it, and the other
    members that do not answer either, are not reported again.
    """

    def __init__(self) -> None:
        self._since: float | None = None

    @property
    def lasts(self) -> bool:
        """Whether an outage has begun and has not ended."""
        return self._since is not None

    def begins(self, endpoint: str, error: errors.ClientError) -> None:
        """Report the loss of a member, unless an outage has begun before."""
        if self._since is None:
            self._since = time.monotonic()
            _log.warning("%s is lost, looking for a member that answers: %s", endpoint, str(error))

    def ends(self, endpoint: str) -> None:
        """Report that a member answers, if there is an outage."""
        if self._since is not None:
            seconds = time.monotonic() - self._since
            self._since = None
            _log.info("%s answers, %.1f s after the loss", endpoint, seconds)
