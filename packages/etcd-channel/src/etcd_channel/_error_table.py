"""Maps a status code and a message to the class of the error.

The table is etcd's own list of errors (api/v3rpc/rpctypes/error.go). For a message that is not in
it, such as one of a newer server, the class is that of the status code.
"""

from __future__ import annotations

import re
from typing import Final

import grpc

from etcd_channel import errors

__all__ = ["BY_CODE", "BY_MESSAGE", "error_class", "error_from_message"]

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

# Messages of etcd 3.4 and 3.5 that are not in that list: a refusal of a learner with another code,
# authentication errors of the maintenance service, a password for a user that has none, and
# messages of Go itself.
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
    # While a call waits in the server (v3lock, v3election), the server may report the timeout
    # before gRPC does in the client.
    (_Code.UNKNOWN, "context deadline exceeded"): errors.ConnectionTimeoutError,
    (_Code.UNKNOWN, "context canceled"): errors.RequestCanceledError,
    # Sent by etcd's grpc-proxy for an RPC that it does not forward.
    (_Code.UNKNOWN, "not implemented"): errors.UnsupportedByServerError,
}

# Failed TLS handshakes, as the versions of gRPC report them. TSI_DATA_CORRUPTED, or "Unwrap failed"
# with gRPC 1.62 and etcd 3.5.16, means that a server with TLS 1.3 refused the client's certificate,
# or requires one, after the client had finished its part of the handshake. The others mean that the
# server's certificate has another name, and that a key does not belong to its certificate. `re`
# compiles the patterns when an error needs them.
_HANDSHAKE = (
    r"handshake (read |write )?failed"
    r"|^failed to connect to all addresses\b.*\b(TSI_DATA_CORRUPTED|Unwrap failed)"
    r"|verification check failed|peer name .* is not in peer certificate"
    r"|failed to create security handshaker"
)
# The last one is sent by etcd's grpc-proxy about a request. With the prefix "grpc: " it would be
# sent by a server about a response.
_TOO_LARGE = (
    r"grpc: received message larger than max|Sent message larger than max"
    r"|^trying to send message larger than max"
)

# By message only, because etcd refuses a watch with a message that has no status code.
_WITHOUT_CODE: Final[dict[str, tuple[grpc.StatusCode, type[errors.ClientError]]]] = {
    words: (code, kind) for code, kinds in BY_MESSAGE.items() for words, kind in kinds.items()
}


def error_class(code: grpc.StatusCode, message: str) -> type[errors.ClientError]:
    """Return the class for a status; `ClientError` itself for an unknown code."""
    exact = BY_MESSAGE.get(code, {}).get(message) or _UNLISTED.get((code, message))
    if exact is not None:
        return exact
    # Some errors arrive without their code, such as that a removal would break the quorum.
    if code is _Code.UNKNOWN and message in _WITHOUT_CODE:
        return _WITHOUT_CODE[message][1]
    # gRPC's limit on the size of a request applies before etcd's. Its limit on a response is a
    # different error, because the request was executed.
    if code is _Code.RESOURCE_EXHAUSTED and re.search(_TOO_LARGE, message):
        return errors.RequestTooLargeError
    if code is _Code.UNAVAILABLE and re.search(_HANDSHAKE, message, re.IGNORECASE):
        return errors.TLSHandshakeError
    return BY_CODE.get(code, errors.ClientError)


def error_from_message(message: str, *, method: str | None = None) -> errors.ClientError | None:
    """Return the error for a message that etcd sent without a status code, such as for a watch.

    None if it is not a message of etcd.
    """
    # Some messages have a prefix: "rpc error: code = ... desc = etcdserver: ...".
    found = _WITHOUT_CODE.get(message[max(message.find("etcdserver: "), 0) :])
    if found is None:
        return None
    code, kind = found
    if kind is errors.RevisionCompactedError:
        return errors.RevisionCompactedError(0, message, code=code, method=method)
    return kind(message, code=code, method=method)
