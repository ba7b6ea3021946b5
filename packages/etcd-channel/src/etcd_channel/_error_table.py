"""From what a server or the transport said to the error that is raised.

The rows are etcd's own list of errors (api/v3rpc/rpctypes/error.go). A message that is
not in it, of a newer server say, falls back to its status code.
"""

from __future__ import annotations

import re
from typing import Final

import grpc

from etcd_channel import errors

__all__ = ["BY_CODE", "BY_MESSAGE", "error_class", "error_from_words"]

_Code = grpc.StatusCode

BY_CODE: Final[dict[grpc.StatusCode, type[errors.ClientError]]] = {
    _Code.CANCELLED: errors.RequestCanceledError,
    _Code.DATA_LOSS: errors.DataLossError,
    _Code.DEADLINE_EXCEEDED: errors.ConnectionTimeoutError,
    _Code.FAILED_PRECONDITION: errors.PreconditionFailedError,
    _Code.INTERNAL: errors.InternalError,
    _Code.INVALID_ARGUMENT: errors.InvalidArgumentError,
    _Code.NOT_FOUND: errors.NotFoundError,
    _Code.OUT_OF_RANGE: errors.OutOfRangeError,
    _Code.PERMISSION_DENIED: errors.PermissionDeniedError,
    _Code.RESOURCE_EXHAUSTED: errors.ResourceExhaustedError,
    _Code.UNAUTHENTICATED: errors.UnauthenticatedError,
    _Code.UNAVAILABLE: errors.ConnectionFailedError,
    _Code.UNIMPLEMENTED: errors.UnsupportedByServerError,
}

BY_MESSAGE: Final[dict[grpc.StatusCode, dict[str, type[errors.ClientError]]]] = {
    _Code.CANCELLED: {
        "etcdserver: watch canceled": errors.WatchCanceledError,
        "etcdserver: request canceled": errors.RequestCanceledError,
    },
    _Code.DATA_LOSS: {
        "etcdserver: corrupt cluster": errors.CorruptError,
    },
    _Code.DEADLINE_EXCEEDED: {
        "etcdserver: context deadline exceeded": errors.ConnectionTimeoutError,
    },
    _Code.FAILED_PRECONDITION: {
        "etcdserver: lease already exists": errors.DuplicateLeaseError,
        "etcdserver: member ID already exist": errors.MemberExistsError,
        "etcdserver: Peer URLs already exists": errors.PeerURLExistsError,
        "etcdserver: re-configuration failed due to not enough started members": (
            errors.NotEnoughStartedMembersError
        ),
        "etcdserver: can only promote a learner member": errors.MemberNotLearnerError,
        "etcdserver: can only promote a learner member which is in sync with leader": (
            errors.LearnerNotReadyError
        ),
        "etcdserver: too many learner members in cluster": errors.TooManyLearnersError,
        "etcdserver: cluster ID mismatch": errors.ClusterIDMismatchError,
        "etcdserver: root user does not exist": errors.RootUserMissingError,
        "etcdserver: root user does not have root role": errors.RootRoleMissingError,
        "etcdserver: user name already exists": errors.UserExistsError,
        "etcdserver: user name not found": errors.UserNotFoundError,
        "etcdserver: role name already exists": errors.RoleExistsError,
        "etcdserver: role name not found": errors.RoleNotFoundError,
        "etcdserver: role is not granted to the user": errors.RoleNotGrantedError,
        "etcdserver: permission is not granted to the role": errors.PermissionNotGrantedError,
        "etcdserver: authentication is not enabled": errors.AuthNotEnabledError,
        "etcdserver: not leader": errors.NotLeaderError,
        "etcdserver: not capable": errors.NotCapableError,
        "etcdserver: rpc not supported for learner": errors.NotSupportedForLearnerError,
        "etcdserver: bad leader transferee": errors.BadLeaderTransfereeError,
        "etcdserver: cluster version not found during downgrade": (
            errors.ClusterVersionUnavailableError
        ),
        "etcdserver: cluster has a downgrade job in progress": errors.DowngradeInProcessError,
        "etcdserver: no inflight downgrade job": errors.NoInflightDowngradeError,
    },
    _Code.INVALID_ARGUMENT: {
        "etcdserver: key is not provided": errors.EmptyKeyError,
        "etcdserver: key not found": errors.KeyNotFoundError,
        "etcdserver: value is provided": errors.ValueProvidedError,
        "etcdserver: lease is provided": errors.LeaseProvidedError,
        "etcdserver: too many operations in txn request": errors.TooManyOperationsError,
        "etcdserver: duplicate key given in txn request": errors.DuplicateKeyError,
        "etcdserver: invalid client api version": errors.InvalidClientVersionError,
        "etcdserver: invalid sort option": errors.InvalidSortOptionError,
        "etcdserver: request is too large": errors.RequestTooLargeError,
        "etcdserver: given member URLs are invalid": errors.MemberBadURLsError,
        "etcdserver: user name is empty": errors.EmptyUserNameError,
        "etcdserver: role name is empty": errors.EmptyRoleNameError,
        "etcdserver: authentication failed, invalid user ID or password": errors.AuthFailedError,
        "etcdserver: permission not given": errors.PermissionNotGivenError,
        "etcdserver: invalid auth management": errors.InvalidAuthManagementError,
        "etcdserver: revision of auth store is old": errors.AuthOldRevisionError,
        "etcdserver: wrong downgrade target version format": (
            errors.WrongDowngradeVersionFormatError
        ),
        "etcdserver: invalid downgrade target version": errors.InvalidDowngradeTargetError,
    },
    _Code.NOT_FOUND: {
        "etcdserver: requested lease not found": errors.LeaseNotFoundError,
        "etcdserver: member not found": errors.MemberNotFoundError,
    },
    _Code.OUT_OF_RANGE: {
        "etcdserver: mvcc: required revision has been compacted": errors.RevisionCompactedError,
        "etcdserver: mvcc: required revision is a future revision": errors.FutureRevisionError,
        "etcdserver: too large lease TTL": errors.LeaseTTLTooLargeError,
    },
    _Code.PERMISSION_DENIED: {
        "etcdserver: permission denied": errors.PermissionDeniedError,
    },
    _Code.RESOURCE_EXHAUSTED: {
        "etcdserver: mvcc: database space exceeded": errors.NoSpaceError,
        "etcdserver: too many requests": errors.TooManyRequestsError,
    },
    _Code.UNAUTHENTICATED: {
        "etcdserver: invalid auth token": errors.InvalidAuthTokenError,
    },
    _Code.UNAVAILABLE: {
        "etcdserver: no leader": errors.NoLeaderError,
        "etcdserver: leader changed": errors.LeaderChangedError,
        "etcdserver: server stopped": errors.ServerStoppedError,
        "etcdserver: request timed out": errors.RequestTimedOutError,
        "etcdserver: request timed out, possibly due to previous leader failure": (
            errors.RequestTimedOutError
        ),
        "etcdserver: request timed out, possibly due to connection lost": (
            errors.RequestTimedOutError
        ),
        "etcdserver: request timed out, waiting for the applied index took too long": (
            errors.RequestTimedOutError
        ),
        "etcdserver: unhealthy cluster": errors.UnhealthyClusterError,
    },
}

# What etcd 3.4 and 3.5 send beside that list, or against it: a learner's refusal with another
# code, what their maintenance service says of who calls, a password for a user without one, the
# words of Go itself.
_UNLISTED: Final[dict[tuple[grpc.StatusCode, str], type[errors.ClientError]]] = {
    (_Code.UNAVAILABLE, "etcdserver: rpc not supported for learner"): (
        errors.NotSupportedForLearnerError
    ),
    (_Code.UNKNOWN, "auth: authentication failed, password was given for no password user"): (
        errors.AuthFailedError
    ),
    (_Code.UNKNOWN, "auth: invalid auth token"): errors.InvalidAuthTokenError,
    (_Code.UNKNOWN, "auth: permission denied"): errors.PermissionDeniedError,
    (_Code.UNKNOWN, "auth: revision in header is old"): errors.AuthOldRevisionError,
    (_Code.UNKNOWN, "auth: user name is empty"): errors.EmptyUserNameError,
    # Where the server waits for others (v3lock, v3election), its word that the time is up may
    # come before gRPC's own.
    (_Code.UNKNOWN, "context deadline exceeded"): errors.ConnectionTimeoutError,
    (_Code.UNKNOWN, "context canceled"): errors.RequestCanceledError,
}

# How a handshake ends, in the words of gRPC's versions. TSI_DATA_CORRUPTED is where TLS 1.3
# wants another certificate of the client, or one at all: its part is over before that. Then
# the name that the server's certificate must carry, and a key that is not the certificate's.
_HANDSHAKE = re.compile(
    r"handshake (read |write )?failed|^failed to connect to all addresses\b.*\bTSI_DATA_CORRUPTED"
    r"|verification check failed|peer name .* is not in peer certificate"
    r"|failed to create security handshaker",
    re.IGNORECASE,
)
_TOO_LARGE = re.compile(r"grpc: received message larger than max|Sent message larger than max")

# A watch is refused by a text alone, without a status code.
_BY_WORDS: Final[dict[str, tuple[grpc.StatusCode, type[errors.ClientError]]]] = {
    words: (code, kind) for code, kinds in BY_MESSAGE.items() for words, kind in kinds.items()
}


def error_class(code: grpc.StatusCode, message: str) -> type[errors.ClientError]:
    """Find the class for what a server said; `ClientError` itself for an unknown code."""
    exact = BY_MESSAGE.get(code, {}).get(message) or _UNLISTED.get((code, message))
    if exact is not None:
        return exact
    # Some errors come bare, as when a member with too few others is to be removed.
    if code is _Code.UNKNOWN and message in _BY_WORDS:
        return _BY_WORDS[message][1]
    # gRPC's own limits on a request stand before etcd's check. Not so its limits on what is
    # received here: then the request was carried out.
    if code is _Code.RESOURCE_EXHAUSTED and _TOO_LARGE.search(message):
        return errors.RequestTooLargeError
    if code is _Code.UNAVAILABLE and _HANDSHAKE.search(message):
        return errors.TLSHandshakeError
    return BY_CODE.get(code, errors.ClientError)


def error_from_words(words: str, *, method: str | None = None) -> errors.ClientError | None:
    """Make the error for a message of etcd that came without a status code, if it is one."""
    # Some messages come behind a description: "rpc error: code = ... desc = etcdserver: ...".
    found = _BY_WORDS.get(words[max(words.find("etcdserver: "), 0) :])
    if found is None:
        return None
    code, kind = found
    if kind is errors.RevisionCompactedError:
        return errors.RevisionCompactedError(0, words, code=code, method=method)
    return kind(words, code=code, method=method)
