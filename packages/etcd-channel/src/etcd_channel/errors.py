"""Every error that a call can raise; `ClientError` is the root of the tree.

Below it is a class for each of gRPC's status codes, and below these a class for each error that
etcd's server sends (listed in its api/v3rpc/rpctypes/error.go). Invalid arguments are not part of
the tree: they raise `TypeError` or `ValueError` before anything is sent.

Timeouts are also the builtin `TimeoutError`, failed connections `ConnectionError` and denied
permissions `PermissionError`, so an `except` clause can use either name. Although these are
`OSError`s, they have no `errno`, because no call of the operating system failed.
"""

from __future__ import annotations

from typing import Any, ClassVar

import grpc

__all__ = [
    "AuthFailedError",
    "AuthNotEnabledError",
    "AuthOldRevisionError",
    "BadLeaderTransfereeError",
    "ClientClosedError",
    "ClientError",
    "ClientForkedError",
    "ClusterIDMismatchError",
    "ClusterVersionUnavailableError",
    "ConnectionFailedError",
    "ConnectionTimeoutError",
    "CorruptError",
    "DataLossError",
    "DowngradeInProcessError",
    "DuplicateKeyError",
    "DuplicateLeaseError",
    "EmptyKeyError",
    "EmptyRoleNameError",
    "EmptyUserNameError",
    "FutureRevisionError",
    "InternalError",
    "InvalidArgumentError",
    "InvalidAuthManagementError",
    "InvalidAuthTokenError",
    "InvalidClientVersionError",
    "InvalidDowngradeTargetError",
    "InvalidSortOptionError",
    "KeyNotFoundError",
    "LeaderChangedError",
    "LearnerNotReadyError",
    "LeaseNotFoundError",
    "LeaseProvidedError",
    "LeaseTTLTooLargeError",
    "MemberBadURLsError",
    "MemberExistsError",
    "MemberNotFoundError",
    "MemberNotLearnerError",
    "NoInflightDowngradeError",
    "NoLeaderError",
    "NoSpaceError",
    "NotCapableError",
    "NotEnoughStartedMembersError",
    "NotFoundError",
    "NotLeaderError",
    "NotSupportedForLearnerError",
    "OutOfRangeError",
    "PeerURLExistsError",
    "PermissionDeniedError",
    "PermissionNotGivenError",
    "PermissionNotGrantedError",
    "PreconditionFailedError",
    "RequestCanceledError",
    "RequestTimedOutError",
    "RequestTooLargeError",
    "ResourceExhaustedError",
    "RevisionCompactedError",
    "RoleExistsError",
    "RoleNotFoundError",
    "RoleNotGrantedError",
    "RootRoleMissingError",
    "RootUserMissingError",
    "ServerStoppedError",
    "TLSHandshakeError",
    "TooManyLearnersError",
    "TooManyOperationsError",
    "TooManyRequestsError",
    "UnauthenticatedError",
    "UnhealthyClusterError",
    "UnsupportedByServerError",
    "UserExistsError",
    "UserNotFoundError",
    "ValueProvidedError",
    "WatchCanceledError",
    "WrongDowngradeVersionFormatError",
    "WrongEventLoopError",
]


class ClientError(Exception):
    """The base class of all errors of the client.

    `message` is the message of the server or of gRPC, unchanged. `hint` is text that the client
    adds to it when the error is printed, such as a probable cause; None if there is none. `code`
    is gRPC's status code; None if neither a server nor a connection was involved. `method` is the
    RPC, such as "KV.Put", and `endpoint` the member that it was sent to; both are None if nothing
    was sent. gRPC's own error, if there was one, is the `__cause__`.

    `definite` is True if the request certainly had no effect. It is False if the request may have
    been applied or may still be applied; a write must not simply be sent again then.
    """

    definite: bool
    _definite: ClassVar[bool] = True

    def __init__(
        self,
        message: str = "",
        *,
        code: grpc.StatusCode | None = None,
        method: str | None = None,
        endpoint: str | None = None,
        definite: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.method = method
        self.endpoint = endpoint
        self.hint: str | None = None
        self.definite = self._definite if definite is None else definite

    def __str__(self) -> str:
        text = self.message if self.hint is None else f"{self.message}; {self.hint}"
        if self.method is None:
            return text
        if self.endpoint is None:
            return f"{text} ({self.method})"
        return f"{text} ({self.method} at {self.endpoint})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword arguments do not survive the default pickling of an exception.
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def _rebuild(kind: type[ClientError], args: tuple[Any, ...], state: dict[str, Any]) -> ClientError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


# Errors of the client itself ---------------------------------------------------------


class ClientClosedError(ClientError):
    """The channel was closed, before the call or during it.

    A call that was in flight may have been applied; the error is not `definite` then.
    """


class ClientForkedError(ClientError):
    """The channel cannot be used in this process, because the process was forked.

    Either this channel was opened in the parent process, or any channel was open there at the
    fork, in which case gRPC cannot be used in this process at all. Close all channels before the
    fork, or start processes with "spawn" or "forkserver".
    """


class WrongEventLoopError(ClientError):
    """The channel was first used in another event loop; make a channel for each loop."""


# By status code ----------------------------------------------------------------------


class ConnectionFailedError(ClientError, ConnectionError):
    """No member could be reached, or the member could not serve the request (UNAVAILABLE)."""

    _definite = False


class TLSHandshakeError(ConnectionFailedError):
    """A connection was opened, but its TLS handshake failed."""

    _definite = True


class ConnectionTimeoutError(ClientError, TimeoutError):
    """No response was received within the timeout (DEADLINE_EXCEEDED)."""

    _definite = False


class InternalError(ClientError):
    """The server or the transport failed (INTERNAL)."""

    _definite = False


class InvalidArgumentError(ClientError):
    """The server refused an argument of the request (INVALID_ARGUMENT)."""


class UnauthenticatedError(ClientError):
    """The request is not authenticated: its token is missing or invalid (UNAUTHENTICATED)."""


class PreconditionFailedError(ClientError):
    """The state of the cluster does not permit the request (FAILED_PRECONDITION)."""


class OutOfRangeError(ClientError):
    """A number is outside the range that the server has or accepts (OUT_OF_RANGE)."""


class NotFoundError(ClientError):
    """Something that the request names, such as a lease, does not exist (NOT_FOUND)."""


class ResourceExhaustedError(ClientError):
    """A limit of the server or of the connection was exceeded (RESOURCE_EXHAUSTED)."""

    # It may be the size of a response, which the channel's options can limit.
    _definite = False


class PermissionDeniedError(ClientError, PermissionError):
    """The user does not have the permission for this request (PERMISSION_DENIED)."""


class DataLossError(ClientError):
    """Data was lost or cannot be trusted (DATA_LOSS)."""


class RequestCanceledError(ClientError):
    """The server, or a proxy, canceled the request (CANCELLED)."""

    _definite = False


class UnsupportedByServerError(ClientError):
    """The server does not have this RPC, usually because it is too old (UNIMPLEMENTED)."""


# Key-value ---------------------------------------------------------------------------


class EmptyKeyError(InvalidArgumentError):
    """The request has no key."""


class KeyNotFoundError(InvalidArgumentError):
    """`ignore_value` or `ignore_lease` was given for a key that does not exist."""


class ValueProvidedError(InvalidArgumentError):
    """`ignore_value` and a value were given together."""


class LeaseProvidedError(InvalidArgumentError):
    """`ignore_lease` and a lease were given together."""


class TooManyOperationsError(InvalidArgumentError):
    """A transaction has too many operations for the server (`--max-txn-ops`, default 128)."""


class DuplicateKeyError(InvalidArgumentError):
    """A transaction would modify one key twice.

    `key` is that key; None if the client does not know it.
    """

    key: bytes | None

    def __init__(self, message: str = "", *, key: bytes | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.key = key
        if key is not None:
            self.hint = f"the key is {key!r}" if len(key) <= 60 else f"the key is {key[:57]!r}..."


class InvalidSortOptionError(InvalidArgumentError):
    """The server does not know this sort order or target."""


class InvalidClientVersionError(InvalidArgumentError):
    """The server does not accept requests of this client version."""


class RequestTooLargeError(InvalidArgumentError):
    """The request is too large for the server (`--max-request-bytes`, default 1.5 MiB)."""


class RevisionCompactedError(OutOfRangeError):
    """The requested revision was compacted, so it can no longer be read or watched.

    `compacted_revision` is the lowest revision that can still be read; 0 if it is not known.
    """

    compacted_revision: int

    def __init__(self, compacted_revision: int, message: str | None = None, **fields: Any) -> None:
        names_revision = message is None
        if message is None:
            message = f"revision was already compacted below {compacted_revision}"
        super().__init__(message, **fields)
        self.compacted_revision = compacted_revision
        if compacted_revision and not names_revision:
            self.hint = f"the compacted revision is {compacted_revision}"


class FutureRevisionError(OutOfRangeError):
    """The requested revision does not exist yet."""


class NoSpaceError(ResourceExhaustedError):
    """The database has reached its quota (`--quota-backend-bytes`): etcd refuses puts.

    Reads and deletions still work. The error is not `definite`, because etcd can apply a put that
    it answers with this error.
    """

    # etcd checks the quota before a write is proposed and again when it is applied. The second
    # check applies the write, and returns the same error (quotaApplierV3 in apply.go).
    _definite = False


class TooManyRequestsError(ResourceExhaustedError):
    """The server has too many requests in progress and refused this one."""

    _definite = True


# Leases and watches ------------------------------------------------------------------


class LeaseNotFoundError(NotFoundError):
    """The lease does not exist: it was never granted, has expired, or was revoked."""


class DuplicateLeaseError(PreconditionFailedError):
    """A lease with this ID already exists."""


class LeaseTTLTooLargeError(OutOfRangeError):
    """The time to live is longer than the server accepts (at most 9,000,000,000 s)."""


class WatchCanceledError(RequestCanceledError):
    """The server canceled a watch."""


# Cluster -----------------------------------------------------------------------------


class MemberExistsError(PreconditionFailedError):
    """A member with this ID already exists."""


class PeerURLExistsError(PreconditionFailedError):
    """Another member has one of these peer URLs."""


class NotEnoughStartedMembersError(PreconditionFailedError):
    """The change would leave the cluster without a quorum of started members."""


class MemberBadURLsError(InvalidArgumentError):
    """A URL of a member is not valid."""


class MemberNotFoundError(NotFoundError):
    """No member has this ID."""


class MemberNotLearnerError(PreconditionFailedError):
    """The member cannot be promoted, because it is a voting member and not a learner."""


class LearnerNotReadyError(PreconditionFailedError):
    """The learner is not in sync with the leader yet."""


class TooManyLearnersError(PreconditionFailedError):
    """The cluster has the maximum number of learners (`--max-learners`, default 1)."""


class ClusterIDMismatchError(PreconditionFailedError):
    """The member belongs to another cluster."""


class NotSupportedForLearnerError(PreconditionFailedError):
    """The member is a learner, and learners do not serve this call."""


class NotLeaderError(PreconditionFailedError):
    """Only the leader can serve this call, and it was sent to another member."""


class BadLeaderTransfereeError(PreconditionFailedError):
    """The leadership cannot be moved to this member."""


class NotCapableError(PreconditionFailedError):
    """The version of the cluster does not support this call."""


class WrongDowngradeVersionFormatError(InvalidArgumentError):
    """The version to downgrade to is not a valid version."""


class InvalidDowngradeTargetError(InvalidArgumentError):
    """The cluster cannot be downgraded to this version, but only by one minor version."""


class ClusterVersionUnavailableError(PreconditionFailedError):
    """The version of the cluster is not determined yet."""


class DowngradeInProcessError(PreconditionFailedError):
    """Another downgrade is in progress."""


class NoInflightDowngradeError(PreconditionFailedError):
    """There is no downgrade to cancel."""


class CorruptError(DataLossError):
    """The cluster has detected that the data of its members differ."""


# Authentication ----------------------------------------------------------------------


class AuthFailedError(InvalidArgumentError):
    """The user name or the password is wrong."""


class AuthNotEnabledError(PreconditionFailedError):
    """Authentication is not enabled on the cluster."""


class AuthOldRevisionError(InvalidArgumentError):
    """Users or roles were changed after the token was issued."""


class InvalidAuthTokenError(UnauthenticatedError):
    """The token has expired, or the server did not issue it."""


class InvalidAuthManagementError(InvalidArgumentError):
    """The change would lock all users out, such as deleting root while authentication is on."""


class RootUserMissingError(PreconditionFailedError):
    """Authentication cannot be enabled, because there is no user root."""


class RootRoleMissingError(PreconditionFailedError):
    """Authentication cannot be enabled, because the user root does not have the role root."""


class UserExistsError(PreconditionFailedError):
    """A user with this name already exists."""


class EmptyUserNameError(InvalidArgumentError):
    """The user name is empty, or the cluster has authentication on and the call has no user."""


class UserNotFoundError(PreconditionFailedError):
    """No user has this name."""


class RoleExistsError(PreconditionFailedError):
    """A role with this name already exists."""


class RoleNotFoundError(PreconditionFailedError):
    """No role has this name."""


class EmptyRoleNameError(InvalidArgumentError):
    """A role name is empty."""


class PermissionNotGivenError(InvalidArgumentError):
    """The request names no permission."""


class RoleNotGrantedError(PreconditionFailedError):
    """The user does not have this role."""


class PermissionNotGrantedError(PreconditionFailedError):
    """The role does not have this permission."""


# Members that cannot serve at the moment ---------------------------------------------


class NoLeaderError(ConnectionFailedError):
    """The member has no leader."""


class LeaderChangedError(ConnectionFailedError):
    """The leader changed while the request was in flight."""


class ServerStoppedError(ConnectionFailedError):
    """The member is shutting down."""


class RequestTimedOutError(ConnectionFailedError, TimeoutError):
    """The member did not complete the request within the server's own timeout."""


class UnhealthyClusterError(ConnectionFailedError):
    """Members cannot reach each other, so the cluster refuses changes of its membership."""
