"""Fixtures for the tests of tokens: a server for each kind of token, and users."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .servers import Account, AuthServer, make_account


@pytest.fixture(scope="session")
def jwt(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], str]:
    """Returns --auth-token for JWTs signed by an RSA key, with a lifetime of some seconds."""
    directory = tmp_path_factory.mktemp("jwt")
    private, public = directory / "private.pem", directory / "public.pem"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return lambda ttl: f"jwt,pub-key={public},priv-key={private},sign-method=RS256,ttl={ttl}s"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simple_server() -> AsyncIterator[AuthServer]:
    """A server with simple tokens, which are valid until it stops or the password changes."""
    async with AuthServer() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def jwt_server(jwt: Callable[[int], str]) -> AsyncIterator[AuthServer]:
    """A server with JWTs, which contain the auth revision and are outdated after each change."""
    async with AuthServer(jwt=jwt(300)) as server:
        yield server


@pytest.fixture(params=["simple", "jwt"])
def server(request: pytest.FixtureRequest) -> AuthServer:
    """A server of each kind, shared by the tests of a module."""
    server: AuthServer = request.getfixturevalue(f"{request.param}_server")
    return server


@pytest.fixture
async def account(server: AuthServer) -> Account:
    """A user of the server that no other test uses."""
    return await make_account(server)
