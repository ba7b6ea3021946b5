"""Users that are known by the common name of their TLS certificate need no token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
import trustme

from etcd_auth import AuthClient, PermissionKind, User
from etcd_channel import TLS, Channel, errors
from etcd_kv import KVClient
from etcd_testing import TLSFiles

from .servers import PATIENT, AuthServer

Connect = Callable[..., Channel]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_as(authority: trustme.CA, common_name: str) -> TLS:
    """The certificate of a client with this common name."""
    # Go before 1.19 refuses a certificate with an empty list of alternative names.
    issued = authority.issue_cert("localhost", common_name=common_name)
    return TLS(
        ca_cert=authority.cert_pem.bytes(),
        client_cert=issued.cert_chain_pems[0].bytes(),
        client_key=issued.private_key_pem.bytes(),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[AuthServer]:
    """A server with users without passwords: root, and alice, who has all rights below /alice/."""
    directory = tmp_path_factory.mktemp("tls")
    ca, cert, key = (directory / name for name in ("ca.pem", "cert.pem", "key.pem"))
    issued = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(str(ca))
    issued.cert_chain_pems[0].write_to_path(str(cert))
    issued.private_key_pem.write_to_path(str(key))
    files = TLSFiles(ca=ca, server_cert=cert, server_key=key)
    server = AuthServer(tls=files, client_cert_auth=True)
    try:
        await server.start()
        async with Channel(server.endpoint, tls=tls_as(authority, "root"), **PATIENT) as channel:
            auth = AuthClient(channel)
            for user, role in (("root", "root"), ("alice", "alice")):
                await auth.user_add(user)
                await auth.role_add(role)
                await auth.user_grant_role(user, role)
            await auth.role_grant_permission(
                "alice", PermissionKind.READWRITE, b"/alice/", prefix=True
            )
            await auth.auth_enable()
        yield server
    finally:
        await server.close()


@pytest.fixture
def connect(server: AuthServer, authority: trustme.CA) -> Connect:
    def connect(common_name: str, **options: Any) -> Channel:
        options = PATIENT | options
        return Channel(server.endpoint, tls=tls_as(authority, common_name), **options)

    return connect


async def test_a_certificate_authenticates_a_user(connect: Connect, server: AuthServer) -> None:
    async with connect("alice") as channel:
        await KVClient(channel).put(b"/alice/key", b"value")
        assert await AuthClient(channel).user_get("alice") == User("alice", ["alice"])
        with pytest.raises(errors.PermissionDeniedError):
            await KVClient(channel).put(b"/elsewhere", b"value")
    assert await server.authentications() == 0


async def test_a_certificate_of_an_unknown_user_is_refused(connect: Connect) -> None:
    async with connect("stranger") as channel:
        with pytest.raises(errors.PermissionDeniedError):
            await KVClient(channel).put(b"/alice/key", b"value")
        with pytest.raises(errors.UserNotFoundError):
            await AuthClient(channel).user_list()


async def test_a_password_takes_precedence_over_a_certificate(connect: Connect) -> None:
    async with connect("root") as channel:
        await AuthClient(channel).user_add("bob", "secret")
    async with connect("alice", username="bob", password="secret") as channel:
        assert await AuthClient(channel).user_get("bob") == User("bob", [])
        with pytest.raises(errors.PermissionDeniedError):
            await KVClient(channel).put(b"/alice/key", b"value")


async def test_a_user_without_a_password_cannot_log_in_with_one(connect: Connect) -> None:
    channel = connect("alice", username="alice", password="secret")
    with pytest.raises(errors.AuthFailedError):
        await channel.connect()
    await channel.close()


async def test_without_a_certificate_the_error_names_the_handshake(
    server: AuthServer, authority: trustme.CA
) -> None:
    channel = Channel(server.endpoint, tls=TLS(ca_cert=authority.cert_pem.bytes()))
    with pytest.raises(errors.TLSHandshakeError) as raised:
        await channel.connect()
    assert raised.value.definite
    await channel.close()


async def test_calls_succeed_while_users_change(connect: Connect, server: AuthServer) -> None:
    """A call that was proposed before a change and applied after it is refused, and sent again."""
    keys = [b"/alice/" + str(number).encode() for number in range(10)]
    done = asyncio.Event()

    async def put(kv: KVClient, key: bytes) -> int:
        puts = 0
        while not done.is_set():
            await kv.put(key, b"value")
            puts += 1
        return puts

    async def change_users() -> None:
        refused = await server.refusals("Put")
        async with connect("root") as channel:
            changes = 0
            while changes < 50 or await server.refusals("Put") < refused + 10:
                await AuthClient(channel).user_add(f"user-{changes}")
                changes += 1
        done.set()

    async with connect("alice") as channel:
        kv = KVClient(channel)
        *counts, _ = await asyncio.gather(*(put(kv, key) for key in keys), change_users())
        for key, count in zip(keys, counts, strict=True):
            found = await kv.get(key)
            assert found is not None
            assert found.version == count
