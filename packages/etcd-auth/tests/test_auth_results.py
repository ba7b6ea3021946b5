"""Results are values: equal by their fields, readable, hashable, picklable."""

from __future__ import annotations

import pickle

import pytest

import etcd_auth
from etcd_auth import AuthStatus, Permission, PermissionKind, Role, User
from etcd_auth.pb import auth_pb2 as pb

READ = Permission(PermissionKind.READ, b"a", b"b")


@pytest.mark.parametrize(
    ("value", "same", "other", "shown"),
    [
        (
            User("alice", ["reader"]),
            User("alice", ("reader",)),
            User("alice", []),
            "User(name='alice', roles=('reader',))",
        ),
        (
            Role("reader", [READ]),
            Role("reader", [Permission(PermissionKind.READ, b"a", b"b")]),
            Role("reader", [Permission(PermissionKind.READ, b"a")]),
            f"Role(name='reader', permissions=({READ!r},))",
        ),
        (
            Permission(PermissionKind.WRITE, b"k"),
            Permission(PermissionKind.WRITE, b"k", None),
            Permission(PermissionKind.READWRITE, b"k"),
            "Permission(kind=<PermissionKind.WRITE: 'WRITE'>, key=b'k', range_end=None)",
        ),
        (
            AuthStatus(True, 7),
            AuthStatus(True, 7),
            AuthStatus(False, 7),
            "AuthStatus(enabled=True, revision=7)",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_results_are_values(value: object, same: object, other: object, shown: str) -> None:
    assert value == same
    assert hash(value) == hash(same)
    assert value != other
    assert pickle.loads(pickle.dumps(value)) == value
    assert repr(value) == shown


@pytest.mark.parametrize("kind", PermissionKind)
def test_every_permission_kind_is_one_of_etcds(kind: PermissionKind) -> None:
    assert Permission.from_message(pb.Permission(permType=kind.value, key=b"k")).kind is kind


def test_every_permission_type_of_etcd_has_a_kind() -> None:
    assert [kind.value for kind in PermissionKind] == pb.Permission.Type.keys()


def test_the_package_exports_its_public_names() -> None:
    assert sorted(etcd_auth.__all__) == [
        "AuthClient",
        "AuthStatus",
        "Permission",
        "PermissionKind",
        "Role",
        "User",
    ]
