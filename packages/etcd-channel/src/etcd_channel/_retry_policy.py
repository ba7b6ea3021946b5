"""The retry policy: decides what to do after a failed attempt; no I/O."""

from __future__ import annotations

import enum
from typing import Any

from etcd_channel import errors
from etcd_channel.rpc import Rpc

__all__ = ["Decision", "classify", "classify_stream"]

_TOKEN_ERRORS = (
    errors.InvalidAuthTokenError,
    errors.AuthOldRevisionError,
    errors.EmptyUserNameError,
)


_TEMPORARY = (
    errors.ConnectionFailedError,
    errors.ConnectionTimeoutError,
    errors.InternalError,
    errors.RequestCanceledError,
    errors.ResourceExhaustedError,
)


class Decision(enum.Enum):
    """What to do after a failed attempt."""

    RAISE = enum.auto()
    """Raise the error to the caller."""
    REPEAT = enum.auto()
    """Send the request again, to the next endpoint if there is one."""
    REFRESH_TOKEN = enum.auto()
    """Send the request again, with a new token."""


def classify(rpc: Rpc[Any, Any], error: errors.ClientError) -> Decision:
    """Decide what to do after a call failed with `error`. There are four cases.

    The server refused the token: nothing was proposed to the cluster, so any RPC may be sent
    again with a new token. The server had too many requests: nothing was proposed either, so any
    RPC may be sent again after a pause. No member could serve the request, or none answered: it
    is sent again if it certainly was not sent before, or if the RPC is repeatable. Every other
    error is raised to the caller.
    """
    if isinstance(error, _TOKEN_ERRORS):
        return Decision.REFRESH_TOKEN
    if isinstance(error, errors.TooManyRequestsError):
        return Decision.REPEAT
    if isinstance(error, (errors.ConnectionFailedError, errors.ConnectionTimeoutError)):
        return Decision.REPEAT if error.definite or rpc.repeatable else Decision.RAISE
    return Decision.RAISE


def classify_stream(error: errors.ClientError) -> Decision:
    """Decide what to do after a stream ended with `error`.

    A stream is opened again after every error that may be temporary: a refused token (each
    opening fetches a new one), a member that could not serve, a break without a reason. A
    permanent refusal ends the stream.
    """
    if isinstance(error, _TOKEN_ERRORS):
        return Decision.REFRESH_TOKEN
    if isinstance(error, _TEMPORARY):
        return Decision.REPEAT
    return Decision.RAISE
