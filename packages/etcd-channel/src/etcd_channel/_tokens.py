"""`Tokens` fetches the token of a user when it is first needed or was refused."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from grpc import aio

from etcd_channel._single_flight import SingleFlight
from etcd_channel.arguments import check_name, check_password
from etcd_channel.errors import AuthFailedError, AuthNotEnabledError
from etcd_channel.metrics import TOKEN_RENEWALS
from etcd_channel.observer import Observer
from etcd_channel.pb import common_pb2 as pb

__all__ = ["Tokens"]

_log = logging.getLogger("etcd_channel")

# Each costs the server a slow hash when the present password is refused.
_MOST_CANDIDATES: Final = 8

Metadata = tuple[tuple[str, str], ...]
Authenticate = Callable[[pb.AuthenticateRequest], Awaitable[pb.AuthenticateResponse]]


class Tokens:
    """Holds the token of a user as the metadata of calls.

    A token is not renewed on a timer, because only the server knows how long it is valid, and a
    restart of the server can invalidate it.
    """

    def __init__(
        self, username: str, password: str, authenticate: Authenticate, observer: Observer
    ) -> None:
        self.metadata: Metadata | None = None
        self.prepared: aio.Metadata | None = None
        """`metadata` in gRPC's own type, to which gRPC would otherwise convert it at each call."""
        self.fetched = 0
        """The number of the present token. If many calls were refused with one old token, only
        the first one fetches a new token."""
        self._warned = False
        self._request = pb.AuthenticateRequest(name=username, password=password)
        # Those with the passwords that may have replaced the present one, the oldest first: they
        # are tried if it is refused.
        self._candidates: list[pb.AuthenticateRequest] = []
        self._authenticate = authenticate
        self._observer = observer
        self._fetching = SingleFlight(self._fetch)

    @classmethod
    def of(
        cls, username: object, password: object, authenticate: Authenticate, observer: Observer
    ) -> Tokens | None:
        """Check the arguments and return the tokens of the user; None if there is no user."""
        if username is None and password is None:
            return None
        if username is None or password is None:
            given, missing = ("username", "password")
            if username is None:
                given, missing = missing, given
            raise ValueError(
                f"{given} was given without {missing}: give both username and password"
            )
        name = check_name("username", username)
        return cls(name, check_password("password", password), authenticate, observer)

    @property
    def username(self) -> str:
        return self._request.name

    @property
    def password(self) -> str:
        return self._request.password

    def use_password(self, password: str, *, if_refused: bool = False) -> None:
        """Set the password for the next authentication, or for after the present one is refused."""
        request = pb.AuthenticateRequest(name=self.username, password=password)
        if if_refused:
            self._candidates = [*self._candidates[1 - _MOST_CANDIDATES :], request]
        else:
            self._request, self._candidates = request, self._newer_than(request)

    def withdraw_password(self, password: str) -> None:
        """Forget the last candidate with this password, because it was certainly not set."""
        for at in reversed(range(len(self._candidates))):
            if self._candidates[at].password == password:
                self._candidates = self._candidates[:at] + self._candidates[at + 1 :]
                return

    def _newer_than(self, request: pb.AuthenticateRequest) -> list[pb.AuthenticateRequest]:
        """Return the candidates after the last one that is equal to `request`.

        The passwords of earlier changes have been replaced by it, those of later ones have not. For
        changes that overlap this is a guess: etcd may apply them in another order.
        """
        at = max((at for at, other in enumerate(self._candidates) if other == request), default=-1)
        return self._candidates[at + 1 :] if at >= 0 else []

    async def ensure(self, timeout: float | None = None) -> None:
        """Fetch a token if none was fetched yet.

        Raises `StillRunning` if that takes more than `timeout` seconds.
        """
        if not self.fetched:
            await self._fetching.run(timeout)

    async def renew(self, token_number: int, timeout: float | None = None) -> None:
        """Fetch a token unless one newer than `token_number` was fetched already.

        Raises `StillRunning` if that takes more than `timeout` seconds.
        """
        if self.fetched == token_number:
            await self._fetching.run(timeout)

    async def close(self) -> None:
        await self._fetching.close()

    async def _fetch(self) -> None:
        try:
            response = await self._authenticated()
        except AuthNotEnabledError:
            # As in etcd's Go client, this is not an error. If authentication is enabled later, the
            # server refuses calls, and a token is fetched then.
            self.metadata = self.prepared = None
            if not self._warned:
                self._warned = True
                _log.warning(
                    "authentication is not enabled on the server: the user %r and the password"
                    " are not used",
                    self.username,
                )
        else:
            self.metadata = (("token", response.token),)
            self.prepared = aio.Metadata(*self.metadata)
            if self.fetched:
                self._observer.measure(TOKEN_RENEWALS, 1)
        self.fetched += 1

    async def _authenticated(self) -> pb.AuthenticateResponse:
        """Authenticate with the password, and with those that may have replaced it."""
        tried: list[pb.AuthenticateRequest] = []
        request = self._request
        while True:
            try:
                response = await self._authenticate(request)
            except AuthFailedError:
                tried.append(request)
                # use_password() may have been called in the meantime.
                left = self._untried(tried)
                if left is None:
                    raise
                request = left
                continue
            if any(request is other for other in self._candidates):
                self._request, self._candidates = request, self._newer_than(request)
            return response

    def _untried(self, tried: list[pb.AuthenticateRequest]) -> pb.AuthenticateRequest | None:
        # By identity: a password that was refused may have been set since then.
        for request in (self._request, *self._candidates):
            if not any(request is other for other in tried):
                return request
        return None
