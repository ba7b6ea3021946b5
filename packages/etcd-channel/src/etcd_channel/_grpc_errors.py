"""Converts gRPC's errors to `ClientError`s."""

from __future__ import annotations

from typing import Any

import grpc

from etcd_channel import errors
from etcd_channel._error_table import error_class
from etcd_channel.rpc import Rpc

__all__ = ["to_client_error"]

_USERNAME_HINT = (
    "the server has authentication enabled, and the client has no username:"
    " give it username and password"
)

# gRPC's message if the server reset the stream with the HTTP/2 code CANCEL.
_RESET_AS_CANCELLED = "RST_STREAM with error code 8"
# Seconds before the deadline of a call at which the server's timer may already end it.
_TIMER_TOLERANCE = 0.1

# gRPC's messages if no connection could be opened, so the request was not sent.
_NEVER_SENT = ("failed to connect to all addresses", "errors resolving", "DNS resolution failed")


def to_client_error(
    error: grpc.aio.AioRpcError,
    rpc: Rpc[Any, Any],
    endpoint: str,
    *,
    has_user: bool = True,
    remaining: float | None = None,
) -> errors.ClientError:
    """Return the `ClientError` for an error of gRPC, which becomes its cause.

    `has_user` is whether the client has a username. `remaining` is the number of seconds that
    were left until the deadline of the call; None means that it had none.
    """
    code = error.code()
    message = error.details() or code.name.lower().replace("_", " ")
    if remaining is not None and _ended_at_deadline(code, message, remaining):
        code = grpc.StatusCode.DEADLINE_EXCEEDED
    kind = error_class(code, message)
    definite: bool | None = None
    if code is grpc.StatusCode.UNAVAILABLE and _never_sent(message):
        definite = True
    elif kind is errors.ClientError:
        definite = False  # none of etcd's own errors has this code
    if code is grpc.StatusCode.UNIMPLEMENTED:
        message = f"{message}; {rpc.name} needs etcd {rpc.since} or later"
    made: errors.ClientError
    if kind is errors.RevisionCompactedError:
        made = errors.RevisionCompactedError(
            0, message, code=code, method=rpc.name, endpoint=endpoint
        )
    else:
        made = kind(message, code=code, method=rpc.name, endpoint=endpoint, definite=definite)
    if kind is errors.EmptyUserNameError and not has_user:
        made.hint = _USERNAME_HINT
    # Without gRPC's traceback: its frames would keep the call and the channel alive as long as the
    # program keeps the error.
    made.__cause__ = error.with_traceback(None)
    return made


def _ended_at_deadline(code: grpc.StatusCode, message: str, remaining: float) -> bool:
    """Whether the server ended the call because its deadline passed.

    The server of etcd 3.5.30 resets the stream then. gRPC in the client reports that as CANCELLED
    if its clock, which it reads only now and then, is behind.
    """
    cancelled = code is grpc.StatusCode.CANCELLED and _RESET_AS_CANCELLED in message
    return cancelled and remaining <= _TIMER_TOLERANCE


def _never_sent(message: str) -> bool:
    return message.startswith(_NEVER_SENT)
