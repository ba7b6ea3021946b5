"""The tree of errors, held against etcd's own list of what its server can send.

`etcd-errors.tsv` is that list (api/v3rpc/rpctypes/error.go): name, status code, message.
"""

from __future__ import annotations

import copy
import inspect
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from channel_support import PUT

import etcd_channel
from etcd_channel import ClientError, error_from_message, errors
from etcd_channel._error_table import BY_CODE, BY_MESSAGE, error_class
from etcd_channel._grpc_errors import to_client_error
from etcd_channel._retry_policy import Decision, classify, classify_stream
from etcd_channel.rpcs import AUTHENTICATE


class Row(NamedTuple):
    name: str
    code: grpc.StatusCode
    message: str


_CODES = {code.name.lower().replace("_", ""): code for code in grpc.StatusCode}
_CODES["canceled"] = grpc.StatusCode.CANCELLED


def _rows() -> list[Row]:
    text = (Path(__file__).parent / "etcd-errors.tsv").read_text()
    split = (line.split("\t") for line in text.splitlines()[1:])
    return [Row(name, _CODES[code.lower()], message) for name, code, message in split]


ROWS = _rows()
_CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if kind.__module__ == errors.__name__
]

# Several rows of etcd that are one and the same to a caller.
_TOGETHER = {
    "Timeout": errors.RequestTimedOutError,
    "TimeoutDueToLeaderFail": errors.RequestTimedOutError,
    "TimeoutDueToConnectionLost": errors.RequestTimedOutError,
    "TimeoutWaitAppliedIndex": errors.RequestTimedOutError,
    # What any timeout is, and any refusal or abandonment.
    "DeadlineExceeded": errors.ConnectionTimeoutError,
    "Canceled": errors.RequestCanceledError,
    "PermissionDenied": errors.PermissionDeniedError,
}

# The name of etcd's Go client where ours has more of a name.
_RENAMED = {
    "AuthNotEnabled": "AuthNotEnabledError",
    "Compacted": "RevisionCompactedError",
    "Corrupt": "CorruptError",
    "FutureRev": "FutureRevisionError",
    "InvalidAuthMgmt": "InvalidAuthManagementError",
    "InvalidClientAPIVersion": "InvalidClientVersionError",
    "InvalidDowngradeTargetVersion": "InvalidDowngradeTargetError",
    "LeaseExist": "DuplicateLeaseError",
    "MemberExist": "MemberExistsError",
    "MemberNotEnoughStarted": "NotEnoughStartedMembersError",
    "PeerURLExist": "PeerURLExistsError",
    "RequestTooManyRequests": "TooManyRequestsError",
    "RoleAlreadyExist": "RoleExistsError",
    "RoleEmpty": "EmptyRoleNameError",
    "RootRoleNotExist": "RootRoleMissingError",
    "RootUserNotExist": "RootUserMissingError",
    "Stopped": "ServerStoppedError",
    "TooManyOps": "TooManyOperationsError",
    "Unhealthy": "UnhealthyClusterError",
    "UserAlreadyExist": "UserExistsError",
    "UserEmpty": "EmptyUserNameError",
}

# Codes after which a request may have been carried out, or may be yet.
_INDEFINITE = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
}


def _received(code: grpc.StatusCode, message: str) -> ClientError:
    cause = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), message)
    return to_client_error(cause, AUTHENTICATE, "localhost:2379")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_error_of_etcd_has_its_class_its_code_and_its_words(row: Row) -> None:
    error = _received(row.code, row.message)
    assert error.code is row.code
    assert error.message == row.message
    assert str(error) == f"{row.message} (Auth.Authenticate at localhost:2379)"
    assert error.method == "Auth.Authenticate"
    assert error.endpoint == "localhost:2379"
    assert isinstance(error.__cause__, grpc.aio.AioRpcError)
    assert isinstance(error, BY_CODE[row.code])
    if row.name in _TOGETHER:
        assert type(error) is _TOGETHER[row.name]
    else:
        assert type(error).__name__ == _RENAMED.get(row.name, f"{row.name}Error")


def test_no_two_errors_of_etcd_share_a_class_but_where_a_caller_sees_no_difference() -> None:
    kinds = [error_class(row.code, row.message) for row in ROWS if row.name not in _TOGETHER]
    assert len(set(kinds)) == len(kinds)
    assert not set(kinds) & set(BY_CODE.values())


def test_the_table_holds_no_more_than_etcd_sends() -> None:
    table = {(code, message) for code, kinds in BY_MESSAGE.items() for message in kinds}
    assert table == {(row.code, row.message) for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_an_error_is_definite_when_the_request_surely_had_no_effect(row: Row) -> None:
    definite = row.code not in _INDEFINITE and row.name != "NoSpace"  # which comes after, too
    assert _received(row.code, row.message).definite is definite


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_message_without_a_code_gives_the_same_error(row: Row) -> None:
    for message in (row.message, f"rpc error: code = Unknown desc = {row.message}"):
        error = error_from_message(message, method="Watch.Watch")
        assert error is not None
        assert type(error) is type(_received(row.code, row.message))
        assert (error.code, error.message, error.method) == (row.code, message, "Watch.Watch")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_message_with_an_unknown_code_gives_the_same_error(row: Row) -> None:
    """What a server sends that forgot to say the code; NotEnoughStartedMembers is one such."""
    error = _received(grpc.StatusCode.UNKNOWN, row.message)
    assert type(error) is type(_received(row.code, row.message))
    assert error.code is grpc.StatusCode.UNKNOWN


def test_a_message_that_is_not_of_etcd_gives_no_error() -> None:
    assert error_from_message("") is None
    assert error_from_message("something else") is None
    assert error_from_message("etcdserver: something new") is None


@pytest.mark.parametrize("code", grpc.StatusCode, ids=lambda code: code.name)
def test_an_unknown_message_gets_the_class_of_its_code(code: grpc.StatusCode) -> None:
    error = _received(code, "etcdserver: the moon is full")
    assert type(error) is BY_CODE.get(code, ClientError)
    assert error.code is code
    assert error.message.startswith("etcdserver: the moon is full")


def test_a_known_message_with_another_code_gets_the_class_of_the_code() -> None:
    error = _received(grpc.StatusCode.INTERNAL, "etcdserver: key not found")
    assert type(error) is errors.InternalError


@pytest.mark.parametrize(
    ("code", "words", "kind", "definite"),
    [
        ("UNAVAILABLE", "Socket closed", errors.ConnectionFailedError, False),
        ("UNAVAILABLE", "recvmsg:Connection reset by peer", errors.ConnectionFailedError, False),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1:"
         " Failed to connect to remote host: connect: Connection refused (111)",
         errors.ConnectionFailedError, True),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: UNKNOWN: Ssl handshake"
         " failed: SSL_ERROR_SSL", errors.TLSHandshakeError, True),
        ("UNAVAILABLE", "DNS resolution failed for nowhere.invalid:2379: C-ares status is not"
         " ARES_SUCCESS", errors.ConnectionFailedError, True),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", errors.ConnectionTimeoutError, False),
        ("INTERNAL", "Received RST_STREAM with error code 2", errors.InternalError, False),
        ("CANCELLED", "RST_STREAM with error code 8", errors.RequestCanceledError, False),
        # The request of a write that was answered too large was carried out.
        ("RESOURCE_EXHAUSTED",
         "Stream removed (CLIENT: Received message larger than max (9 vs. 4))",
         errors.ResourceExhaustedError, False),
        ("RESOURCE_EXHAUSTED", "Received message larger than max (9 vs. 4)",
         errors.ResourceExhaustedError, False),
        ("RESOURCE_EXHAUSTED", "grpc: trying to send message larger than max (9 vs. 4)",
         errors.ResourceExhaustedError, False),
        ("RESOURCE_EXHAUSTED", "Bandwidth exhausted or memory limit exceeded",
         errors.ResourceExhaustedError, False),
        ("RESOURCE_EXHAUSTED", "grpc: received message larger than max (4000024 vs. 2097152)",
         errors.RequestTooLargeError, True),
        ("RESOURCE_EXHAUSTED", "CLIENT: Sent message larger than max (1022 vs. 100)",
         errors.RequestTooLargeError, True),
        # What gRPC says of a connection that broke, and a server of an error that it does not know.
        ("UNKNOWN", "Stream removed", ClientError, False),
        ("UNKNOWN", "raft: stopped", ClientError, False),
        ("ABORTED", "", ClientError, False),
    ],
)  # fmt: skip
def test_messages_of_grpc_are_classified(
    code: str, words: str, kind: type[ClientError], definite: bool
) -> None:
    error = _received(grpc.StatusCode[code], words)
    assert type(error) is kind
    assert error.definite is definite


def test_an_unimplemented_call_names_the_needed_version_of_etcd() -> None:
    error = _received(grpc.StatusCode.UNIMPLEMENTED, "unknown method Moon")
    assert type(error) is errors.UnsupportedByServerError
    assert error.message == "unknown method Moon; Auth.Authenticate needs etcd 3.0 or later"


def test_an_error_without_a_message_has_the_name_of_its_code() -> None:
    assert _received(grpc.StatusCode.DEADLINE_EXCEEDED, "").message == "deadline exceeded"


# The tree ------------------------------------------------------------------------------


def test_every_error_is_public_and_in_the_one_tree() -> None:
    assert {kind.__name__ for kind in _CLASSES} == set(errors.__all__)
    for kind in _CLASSES:
        assert issubclass(kind, ClientError)
        assert kind.__doc__


def test_the_documented_names_are_there() -> None:
    documented = [
        "ClientError",
        "ConnectionFailedError",
        "ConnectionTimeoutError",
        "DuplicateLeaseError",
        "InternalError",
        "InvalidArgumentError",
        "PreconditionFailedError",
        "RevisionCompactedError",
        "UnauthenticatedError",
    ]
    for name in documented:
        assert getattr(etcd_channel, name) is getattr(errors, name)
        assert name in etcd_channel.__all__


def test_every_name_in_all_exists() -> None:
    for name in etcd_channel.__all__:
        assert hasattr(etcd_channel, name)


@pytest.mark.parametrize("kind", _CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_can_be_pickled_and_copied(kind: type[ClientError]) -> None:
    # Without a default, as documented; 0 is what the server did not say.
    needed: dict[str, Any] = {}
    if kind is errors.RevisionCompactedError:
        needed = {"compacted_revision": 0}
    error = kind(
        message="words",
        **needed,
        code=grpc.StatusCode.ABORTED,
        method="KV.Put",
        endpoint="a:1",
        definite=False,
    )
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is kind
        assert vars(twin) == vars(error)
        assert twin.args == error.args
        assert str(twin) == str(error) == "words (KV.Put at a:1)"
        assert repr(twin) == repr(error)


def test_an_error_has_and_shows_the_compacted_revision() -> None:
    error = errors.RevisionCompactedError(7)
    assert error.compacted_revision == 7
    assert str(error) == "revision was already compacted below 7"
    assert pickle.loads(pickle.dumps(error)).compacted_revision == 7


def test_an_error_shows_only_the_fields_that_are_known() -> None:
    assert str(ClientError("closed")) == "closed"
    assert str(ClientError("closed", method="KV.Put")) == "closed (KV.Put)"


# What follows from an error ------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_write_that_may_have_been_applied_is_never_sent_again(row: Row) -> None:
    decision = classify(PUT, _received(row.code, row.message))
    if row.name in ("InvalidAuthToken", "AuthOldRevision", "UserEmpty"):
        assert decision is Decision.REFRESH_TOKEN
    elif row.name == "RequestTooManyRequests":
        assert decision is Decision.REPEAT
    else:
        assert decision is Decision.RAISE


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_stream_is_opened_again_after_a_temporary_error(row: Row) -> None:
    error = _received(row.code, row.message)
    decision = classify_stream(error)
    if row.name in ("InvalidAuthToken", "AuthOldRevision", "UserEmpty"):
        assert decision is Decision.REFRESH_TOKEN
    elif row.code in _INDEFINITE | {grpc.StatusCode.RESOURCE_EXHAUSTED}:
        assert decision is Decision.REPEAT
    else:
        assert decision is Decision.RAISE


def test_a_timeout_that_the_server_reports_first_is_a_timeout() -> None:
    assert (
        error_class(grpc.StatusCode.UNKNOWN, "context deadline exceeded")
        is errors.ConnectionTimeoutError
    )
