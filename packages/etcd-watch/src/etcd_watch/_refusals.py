"""Classifies the server's reasons for canceling or refusing a watch."""

from __future__ import annotations

from etcd_channel import (
    ClientError,
    ConnectionFailedError,
    ConnectionTimeoutError,
    RevisionCompactedError,
    error_from_message,
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

__all__ = ["can_retry", "cancel_error"]

_MAX_REFUSALS = 3
_NEEDS_A_USER = (
    "the client has no username: unless its certificate names a user, give it username and password"
)


def cancel_error(response: pb.WatchResponse, *, has_user: bool) -> ClientError:
    """Return the error for a response with `canceled` set."""
    if response.compact_revision:
        return RevisionCompactedError(response.compact_revision, method=WATCH.name)
    reason = response.cancel_reason or "the server canceled the watch"
    error = error_from_message(reason, method=WATCH.name)
    if error is None:
        return WatchCanceledError(reason, method=WATCH.name)
    # Servers before 3.6 refuse a client without a user by "permission denied" too.
    if isinstance(error, (EmptyUserNameError, PermissionDeniedError)) and not has_user:
        error.hint = _NEEDS_A_USER
    return error


def can_retry(error: ClientError, *, refusals: int, fresh_token: bool, has_user: bool) -> bool:
    """Whether a watch that was refused with `error` should be created again on a new stream.

    A stream keeps the token that it was opened with, and the server refuses a watch if that token
    is outdated. A new stream has a new token, which may be outdated again when it arrives, so the
    number of attempts is limited. Servers before 3.6 also answer an outdated token with "permission
    denied" (etcd issue 12385), so that error is final only with a fresh token. If the member cannot
    serve the watch, the watch moves to another member. Every other error is final.
    """
    if isinstance(error, AuthOldRevisionError):
        # This includes users that are authenticated by a certificate and have no token.
        return refusals < _MAX_REFUSALS
    if isinstance(error, (EmptyUserNameError, InvalidAuthTokenError)):
        return has_user and refusals < _MAX_REFUSALS
    if isinstance(error, PermissionDeniedError):
        return has_user and not fresh_token
    return isinstance(error, (ConnectionFailedError, ConnectionTimeoutError))
