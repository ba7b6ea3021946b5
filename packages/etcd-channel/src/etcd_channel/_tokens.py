"""The token of a user: fetched when first needed, renewed when the server says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from grpc import aio

from etcd_channel._single_flight import SingleFlight
from etcd_channel.arguments import check_name, check_password
from etcd_channel.errors import AuthFailedError, AuthNotEnabledError
from etcd_channel.pb import common_pb2 as pb

__all__ = ["Tokens"]

Metadata = tuple[tuple[str, str], ...]
Authenticate = Callable[[pb.AuthenticateRequest], Awaitable[pb.AuthenticateResponse]]


class Tokens:
    """Keeps the metadata that calls carry: a user's token, or nothing.

    Never renewed on a timer: how long a token lives only the server knows, and a restart
    ends it at once. `fetched` counts the answers, so that of many calls refused with one
    old token only the first asks for a new one.
    """

    def __init__(self, username: str, password: str, authenticate: Authenticate) -> None:
        self.metadata: Metadata | None = None
        # The same in the form that gRPC would give it, at every call anew.
        self.prepared: aio.Metadata | None = None
        self.fetched = 0
        self._request = pb.AuthenticateRequest(name=username, password=password)
        self._authenticate = authenticate
        self._fetching = SingleFlight(self._fetch)

    @classmethod
    def of(cls, username: object, password: object, authenticate: Authenticate) -> Tokens | None:
        """Check what a caller gave; return None where that is no user."""
        if username is None and password is None:
            return None
        if username is None or password is None:
            given, missing = ("username", "password")
            if username is None:
                given, missing = missing, given
            raise ValueError(f"{given} was given without {missing}: they go together")
        return cls(
            check_name("username", username), check_password("password", password), authenticate
        )

    @property
    def username(self) -> str:
        return self._request.name

    def use_password(self, password: str) -> None:
        """Authenticate with another password from now on."""
        self._request = pb.AuthenticateRequest(name=self.username, password=password)

    async def ensure(self, timeout: float | None = None) -> None:
        """Return when the server was asked for a token at least once.

        Raises `asyncio.TimeoutError` when that takes more than `timeout` seconds.
        """
        if not self.fetched:
            await self._fetching.run(timeout)

    async def renew(self, seen: int, timeout: float | None = None) -> None:
        """Return when there is a newer answer than the one that `fetched` counted as `seen`.

        Raises `asyncio.TimeoutError` when that takes more than `timeout` seconds.
        """
        if self.fetched == seen:
            await self._fetching.run(timeout)

    async def close(self) -> None:
        await self._fetching.close()

    async def _fetch(self) -> None:
        request = self._request
        try:
            response = await self._authenticate(request)
        except AuthFailedError:
            # Of a password that was changed while the server looked at it, nobody need hear.
            if request is self._request:
                raise
            return await self._fetch()
        except AuthNotEnabledError:
            # As etcd's Go client: a user on a cluster without authentication is no error,
            # it may be enabled later. Calls are refused then, and a token is fetched.
            self.metadata = self.prepared = None
        else:
            self.metadata = (("token", response.token),)
            self.prepared = aio.Metadata(*self.metadata)
        self.fetched += 1
