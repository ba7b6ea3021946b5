"""What it means when the server cancels a watch, or never makes it."""

from __future__ import annotations

from etcd_channel import (
    ClientError,
    ConnectionFailedError,
    ConnectionTimeoutError,
    RevisionCompactedError,
    error_from_words,
)
from etcd_channel.errors import (
    AuthOldRevisionError,
    EmptyUserNameError,
    InvalidAuthTokenError,
    PermissionDeniedError,
    WatchCanceledError,
)
from etcd_watch.pb import watch_pb2 as pb
from etcd_watch.rpcs import WATCH

__all__ = ["cancel_error", "may_pass"]

_MOST_REFUSALS = 3


def cancel_error(response: pb.WatchResponse) -> ClientError:
    """Make the error that a response with `canceled` speaks of."""
    if response.compact_revision:
        return RevisionCompactedError(response.compact_revision, method=WATCH.name)
    reason = response.cancel_reason or "the server canceled the watch"
    error = error_from_words(reason, method=WATCH.name)
    return error if error is not None else WatchCanceledError(reason, method=WATCH.name)


def may_pass(error: ClientError, *, refusals: int, fresh_token: bool, has_user: bool) -> bool:
    """Whether a watch that ended in `error` is to be asked for again, on a new stream.

    A stream keeps the token that it was opened with, and a watch is refused for an old one. A
    new stream has a new token; it may be outdated too by the time it arrives, but not for
    ever. Servers before 3.6 also say "permission denied" to an old token (etcd issue 12385):
    said to a fresh one it is meant. A member that cannot serve is left for another. Nothing
    else passes.
    """
    if isinstance(error, AuthOldRevisionError):
        # Also of a user that is known by certificate and has no token.
        return refusals < _MOST_REFUSALS
    if isinstance(error, (EmptyUserNameError, InvalidAuthTokenError)):
        return has_user and refusals < _MOST_REFUSALS
    if isinstance(error, PermissionDeniedError):
        return has_user and not fresh_token
    return isinstance(error, (ConnectionFailedError, ConnectionTimeoutError))
