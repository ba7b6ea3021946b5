"""What the tests of tokens share: a server for each kind of them, and users."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .servers import Account, AuthServer, make_account


@pytest.fixture(scope="session")
def jwt(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], str]:
    """The flag --auth-token for tokens signed by an RSA key, from their seconds to live."""
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
    """Its tokens are known to itself only, until it ends or their user's password changes."""
    async with AuthServer() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def jwt_server(jwt: Callable[[int], str]) -> AsyncIterator[AuthServer]:
    """Its tokens carry the revision of the users, and are old after every change of them."""
    async with AuthServer(jwt=jwt(300)) as server:
        yield server


@pytest.fixture(params=["simple", "jwt"])
def server(request: pytest.FixtureRequest) -> AuthServer:
    """A server of each kind, shared by the tests of a module."""
    server: AuthServer = request.getfixturevalue(f"{request.param}_server")
    return server


@pytest.fixture
async def account(server: AuthServer) -> Account:
    """A user of the server that no other test has."""
    return await make_account(server)
