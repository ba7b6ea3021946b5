"""Every error that a call may end in, as one tree rooted at `ClientError`.

The first level follows gRPC's status codes and carries the documented names; below it
stands one class for each error that etcd's server sends (its own list is
api/v3rpc/rpctypes/error.go). Arguments that are refused before anything is sent raise
`TypeError` or `ValueError` instead, and have no place here.
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
    """Any failure of a call; the root of the tree.

    `code` is gRPC's status code, or None where no server and no connection had a part in
    it. `message` is what the server or the transport said, word for word. `method` names
    the RPC as "KV.Put", `endpoint` the member that it went to; both are None when nothing
    was sent. The gRPC error itself, if there was one, is the `__cause__`.

    `definite` is True when the request surely had no effect, and False when it may have
    been applied, now or a little later: then a write must not simply be sent again.
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
        self.definite = self._definite if definite is None else definite

    def __str__(self) -> str:
        if self.method is None:
            return self.message
        if self.endpoint is None:
            return f"{self.message} ({self.method})"
        return f"{self.message} ({self.method} at {self.endpoint})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword arguments do not survive the default pickling of an exception.
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def _rebuild(kind: type[ClientError], args: tuple[Any, ...], state: dict[str, Any]) -> ClientError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


# What the client says itself ---------------------------------------------------------


class ClientClosedError(ClientError):
    """The channel was closed, before the call or during it.

    A call that was under way when the channel was closed may have been applied.
    """


class ClientForkedError(ClientError):
    """The channel was made in a parent process: gRPC's connections do not survive a fork."""


class WrongEventLoopError(ClientError):
    """The channel belongs to another event loop: make one for each loop."""


# By status code ----------------------------------------------------------------------


class ConnectionFailedError(ClientError):
    """No member could be reached, or the one reached could not serve (UNAVAILABLE)."""

    _definite = False


class TLSHandshakeError(ConnectionFailedError):
    """The connection was made, but client and server could not agree on TLS."""

    _definite = True


class ConnectionTimeoutError(ClientError):
    """No answer came within the timeout (DEADLINE_EXCEEDED)."""

    _definite = False


class InternalError(ClientError):
    """The server or the transport broke (INTERNAL)."""

    _definite = False


class InvalidArgumentError(ClientError):
    """The server found the request wrong in itself (INVALID_ARGUMENT)."""


class UnauthenticatedError(ClientError):
    """The server does not know who is calling (UNAUTHENTICATED)."""


class PreconditionFailedError(ClientError):
    """The state of the cluster does not allow it (FAILED_PRECONDITION)."""


class OutOfRangeError(ClientError):
    """A number lies outside what the server has or takes (OUT_OF_RANGE)."""


class NotFoundError(ClientError):
    """What the request names does not exist (NOT_FOUND)."""


class ResourceExhaustedError(ClientError):
    """The server or the connection is at one of its limits (RESOURCE_EXHAUSTED)."""

    # Also a response that was larger than the channel's options let in.
    _definite = False


class PermissionDeniedError(ClientError):
    """The user may not do this (PERMISSION_DENIED)."""


class DataLossError(ClientError):
    """Data was lost or cannot be trusted (DATA_LOSS)."""


class RequestCanceledError(ClientError):
    """The server, or something between, gave the request up (CANCELLED)."""

    _definite = False


class UnsupportedByServerError(ClientError):
    """The server is too old for this call, or was built without it (UNIMPLEMENTED)."""


# Key-value ---------------------------------------------------------------------------


class EmptyKeyError(InvalidArgumentError):
    """A request came without a key."""


class KeyNotFoundError(InvalidArgumentError):
    """`ignore_value` or `ignore_lease` was asked for a key that does not exist."""


class ValueProvidedError(InvalidArgumentError):
    """`ignore_value` was asked for, and a value given with it."""


class LeaseProvidedError(InvalidArgumentError):
    """`ignore_lease` was asked for, and a lease given with it."""


class TooManyOperationsError(InvalidArgumentError):
    """A transaction has more operations than the server takes (`--max-txn-ops`, 128)."""


class DuplicateKeyError(InvalidArgumentError):
    """A transaction would modify one key twice."""


class InvalidSortOptionError(InvalidArgumentError):
    """The server does not know this sort order or target."""


class InvalidClientVersionError(InvalidArgumentError):
    """The server does not take requests of this client version."""


class RequestTooLargeError(InvalidArgumentError):
    """The request is larger than the server takes (`--max-request-bytes`, 1.5 MiB)."""


class RevisionCompactedError(OutOfRangeError):
    """The revision asked for was compacted: its history is gone.

    `compacted_revision` is the revision below which there is no history any more; 0 where
    the server does not say it.
    """

    compacted_revision: int

    def __init__(
        self, compacted_revision: int = 0, message: str | None = None, **fields: Any
    ) -> None:
        if message is None:
            message = f"revisions below {compacted_revision} have been compacted"
        super().__init__(message, **fields)
        self.compacted_revision = compacted_revision


class FutureRevisionError(OutOfRangeError):
    """The revision asked for does not exist yet."""


class NoSpaceError(ResourceExhaustedError):
    """The database is at its quota (`--quota-backend-bytes`): only reads and deletes go on."""

    _definite = True


class TooManyRequestsError(ResourceExhaustedError):
    """The server is behind with what it was sent, and took no more."""

    _definite = True


# Leases and watches ------------------------------------------------------------------


class LeaseNotFoundError(NotFoundError):
    """The lease does not exist: never granted, expired, or revoked."""


class DuplicateLeaseError(PreconditionFailedError):
    """A lease with this id exists already."""


class LeaseTTLTooLargeError(OutOfRangeError):
    """The server takes no time to live this long (the most is 9,000,000,000 s)."""


class WatchCanceledError(RequestCanceledError):
    """The server canceled a watch."""


# Cluster -----------------------------------------------------------------------------


class MemberExistsError(PreconditionFailedError):
    """A member with this id exists already."""


class PeerURLExistsError(PreconditionFailedError):
    """Another member has one of these peer URLs."""


class NotEnoughStartedMembersError(PreconditionFailedError):
    """The change would leave the cluster without a quorum of started members."""


class MemberBadURLsError(InvalidArgumentError):
    """A URL given for a member is none."""


class MemberNotFoundError(NotFoundError):
    """No member has this id."""


class MemberNotLearnerError(PreconditionFailedError):
    """Only a learner can be promoted, and this member votes already."""


class LearnerNotReadyError(PreconditionFailedError):
    """The learner is not in sync with the leader yet."""


class TooManyLearnersError(PreconditionFailedError):
    """The cluster takes no further learner (`--max-learners`, 1)."""


class ClusterIDMismatchError(PreconditionFailedError):
    """The member belongs to another cluster."""


class NotSupportedForLearnerError(PreconditionFailedError):
    """The member is a learner, which serves no such call."""


class NotLeaderError(PreconditionFailedError):
    """Only the leader can do this, and the call went to another member."""


class BadLeaderTransfereeError(PreconditionFailedError):
    """The leadership cannot be moved to this member."""


class NotCapableError(PreconditionFailedError):
    """The cluster is not (yet) at a version that can do this."""


class WrongDowngradeVersionFormatError(InvalidArgumentError):
    """The version to downgrade to is not written as a version."""


class InvalidDowngradeTargetError(InvalidArgumentError):
    """The cluster cannot be downgraded to this version, only by one minor version."""


class ClusterVersionUnavailableError(PreconditionFailedError):
    """The cluster does not know its own version yet."""


class DowngradeInProcessError(PreconditionFailedError):
    """A downgrade is going on already."""


class NoInflightDowngradeError(PreconditionFailedError):
    """There is no downgrade to cancel."""


class CorruptError(DataLossError):
    """The cluster has found its members' data to differ."""


# Authentication ----------------------------------------------------------------------


class AuthFailedError(InvalidArgumentError):
    """The user name or the password is wrong."""


class AuthNotEnabledError(PreconditionFailedError):
    """Authentication is not enabled on the cluster."""


class AuthOldRevisionError(InvalidArgumentError):
    """Users or roles changed after the token was made."""


class InvalidAuthTokenError(UnauthenticatedError):
    """The token expired, or the server never made it."""


class InvalidAuthManagementError(InvalidArgumentError):
    """The change would lock everybody out, such as removing root while auth is enabled."""


class RootUserMissingError(PreconditionFailedError):
    """Authentication cannot be enabled: there is no user root."""


class RootRoleMissingError(PreconditionFailedError):
    """Authentication cannot be enabled: the user root lacks the role root."""


class UserExistsError(PreconditionFailedError):
    """A user of this name exists already."""


class EmptyUserNameError(InvalidArgumentError):
    """A user name is empty; on a cluster with authentication: the call came without one."""


class UserNotFoundError(PreconditionFailedError):
    """No user has this name."""


class RoleExistsError(PreconditionFailedError):
    """A role of this name exists already."""


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


# A member that cannot serve now ------------------------------------------------------


class NoLeaderError(ConnectionFailedError):
    """The member knows of no leader."""


class LeaderChangedError(ConnectionFailedError):
    """The leader changed while the request was under way."""


class ServerStoppedError(ConnectionFailedError):
    """The member is shutting down."""


class RequestTimedOutError(ConnectionFailedError):
    """The member got no agreement of the cluster in its own time, or is far behind it."""


class UnhealthyClusterError(ConnectionFailedError):
    """Members do not answer each other; the cluster takes no change of membership now."""
