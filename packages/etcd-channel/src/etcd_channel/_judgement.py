"""What follows from a failed attempt; pure decisions, no I/O."""

from __future__ import annotations

import enum
from typing import Any

import grpc

from etcd_channel import errors
from etcd_channel._error_table import error_class
from etcd_channel.rpc import Rpc

__all__ = ["Backoff", "Verdict", "judge", "judge_stream", "to_client_error"]

# What gRPC says when no connection could be made: the request was not sent.
_NEVER_SENT = ("failed to connect to all addresses", "errors resolving", "DNS resolution failed")

_TOKEN_ERRORS = (
    errors.InvalidAuthTokenError,
    errors.AuthOldRevisionError,
    errors.EmptyUserNameError,
)


_PASSING = (
    errors.ConnectionFailedError,
    errors.ConnectionTimeoutError,
    errors.InternalError,
    errors.RequestCanceledError,
    errors.ResourceExhaustedError,
)


class Verdict(enum.Enum):
    """What to do after a failed attempt."""

    RAISE = enum.auto()
    REPEAT = enum.auto()
    """Send it again, to the next endpoint if there is one."""
    RENEW = enum.auto()
    """Send it again, with a new token."""


def judge(rpc: Rpc[Any, Any], error: errors.ClientError) -> Verdict:
    """Decide what follows from `error`. There are four cases.

    The server refused the token: nothing was proposed to the cluster, any RPC may be sent
    again with a new one. It was too busy to take the request: likewise, later. No member
    could serve or none answered: an RPC is sent again if it surely never left, or if it
    can be repeated. Everything else is for the caller.
    """
    if isinstance(error, _TOKEN_ERRORS):
        return Verdict.RENEW
    if isinstance(error, errors.TooManyRequestsError):
        return Verdict.REPEAT
    if isinstance(error, (errors.ConnectionFailedError, errors.ConnectionTimeoutError)):
        return Verdict.REPEAT if error.definite or rpc.repeatable else Verdict.RAISE
    return Verdict.RAISE


def judge_stream(error: errors.ClientError) -> Verdict:
    """Decide what follows from the end of a stream.

    A stream changes nothing, so it is opened again after whatever may pass: a token that
    was refused (each opening fetches a new one), a member that could not serve, a break
    that nobody explained. A refusal that will not pass is for the caller.
    """
    if isinstance(error, _TOKEN_ERRORS):
        return Verdict.RENEW
    if isinstance(error, _PASSING):
        return Verdict.REPEAT
    return Verdict.RAISE


def to_client_error(
    error: grpc.aio.AioRpcError, rpc: Rpc[Any, Any], endpoint: str
) -> errors.ClientError:
    """Make the error that a caller sees of gRPC's, which becomes its cause."""
    code = error.code()
    message = error.details() or code.name.lower().replace("_", " ")
    kind = error_class(code, message)
    definite: bool | None = None
    if code is grpc.StatusCode.UNAVAILABLE and _never_sent(message):
        definite = True
    elif kind is errors.ClientError:
        definite = False  # a code that etcd's own errors never have says nothing
    if code is grpc.StatusCode.UNIMPLEMENTED:
        message = f"{message}; {rpc.name} needs etcd {rpc.since} or later"
    made: errors.ClientError
    if kind is errors.RevisionCompactedError:
        made = errors.RevisionCompactedError(
            0, message, code=code, method=rpc.name, endpoint=endpoint
        )
    else:
        made = kind(message, code=code, method=rpc.name, endpoint=endpoint, definite=definite)
    made.__cause__ = error
    return made


def _never_sent(message: str) -> bool:
    return message.startswith(_NEVER_SENT)


class Backoff:
    """Pauses that grow and are never the same: 25 to 50 ms at first, 1 to 2 s at last."""

    def __init__(self, first: float = 0.05, most: float = 2.0) -> None:
        self._first = first
        self._most = most
        self._next = first

    def next(self) -> float:
        """The seconds to wait now."""
        import random  # only who has to wait pays for it

        pause = self._next
        self._next = min(pause * 2, self._most)
        return pause * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begin anew, because something healthy was heard."""
        self._next = self._first
