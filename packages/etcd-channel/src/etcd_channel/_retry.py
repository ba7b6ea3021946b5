"""The retries of a call: whether and when a request is sent again after a failed attempt."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import grpc

from etcd_channel import errors
from etcd_channel._backoff import Backoff
from etcd_channel._pool import ConnectionPool
from etcd_channel._retry_policy import Decision, classify
from etcd_channel._single_flight import StillRunning
from etcd_channel._tokens import Tokens
from etcd_channel.deadline import Deadline
from etcd_channel.observer import Observer
from etcd_channel.rpc import Rpc

__all__ = ["CallRetry", "await_token"]

# Token renewals in one call, in case a server refuses every token that it issues.
_MAX_RENEWALS = 5

# Token renewals in one call because users or roles changed while it was in flight. The limit is
# high because a program may change hundreds of users in a row.
_MAX_OLD_REVISIONS = 100


class CallRetry:
    """The retry state of one call; made at its first failure, so most calls have none."""

    def __init__(
        self,
        rpc: Rpc[Any, Any],
        pool: ConnectionPool,
        endpoint: str | None,
        tokens: Tokens | None,
        deadline: Deadline,
        observer: Observer,
    ) -> None:
        self.attempts = 0
        # Whether an attempt may have been applied. Then the error of the call is not definite,
        # whatever the outcome of later attempts.
        self.maybe_applied = False
        self._rpc = rpc
        self._pool = pool
        self._endpoint = endpoint
        self._tokens = tokens
        self._deadline = deadline
        self._observer = observer
        self._renewals = 0
        self._backoff = Backoff()
        # Short pauses: the change was made already, and a new token can become outdated, too.
        self._renewal_backoff = Backoff(most=0.2)

    async def next_attempt(
        self, failed: errors.ClientError, token_number: int, *, started: bool = False
    ) -> bool:
        """Wait until the request is to be sent again; return False to raise `failed` instead.

        `token_number` is the `Tokens.fetched` of the failed attempt. `started` means that the
        caller has received a part of the response, so that it must not be requested again.
        """
        self.attempts += 1
        self.maybe_applied = self.maybe_applied or not failed.definite
        decision = Decision.RAISE if started else self._decide(failed)
        repeated = decision is not Decision.RAISE
        self._observer.call_failed(self._rpc, failed, self.attempts, repeated=repeated)
        if not repeated:
            return False
        # The first attempt at another endpoint, or with a new token, is made without a pause.
        if decision is Decision.REPEAT:
            if self.attempts % self._pool.candidates(self._endpoint) == 0:
                await self._pause(self._backoff)
            return True
        tokens = self._tokens
        if self._renewals > 1:
            await self._pause(self._renewal_backoff)
            # A token that another call fetched in the meantime may be outdated again.
            token_number = tokens.fetched if tokens is not None else 0
        if tokens is not None:
            renew = partial(tokens.renew, token_number)
            await await_token(self._deadline, self._rpc, self._pool, renew)
        return True

    def _decide(self, failed: errors.ClientError) -> Decision:
        decision = classify(self._rpc, failed)
        if decision is not Decision.RAISE and self._deadline.passed:
            return Decision.RAISE
        if decision is Decision.REFRESH_TOKEN:
            self._renewals += 1
            if not self._may_renew(failed):
                return Decision.RAISE
        return decision

    def _may_renew(self, refusal: errors.ClientError) -> bool:
        """Whether to send again after the server refused the token.

        A user that authenticates by certificate has no token; the server refuses it only after
        users or roles changed.
        """
        if isinstance(refusal, errors.AuthOldRevisionError):
            return self._renewals <= _MAX_OLD_REVISIONS
        return self._tokens is not None and self._renewals <= _MAX_RENEWALS

    async def _pause(self, backoff: Backoff) -> None:
        await self._pool.pause(self._deadline.timeout(backoff.next()))


async def await_token(
    deadline: Deadline,
    rpc: Rpc[Any, Any],
    pool: ConnectionPool,
    fetch: Callable[[float | None], Coroutine[Any, Any, None]],
) -> None:
    """Await `fetch`, which fetches a token; raise `ConnectionTimeoutError` at the deadline."""
    try:
        await fetch(deadline.remaining())
    except StillRunning as cause:
        raise errors.ConnectionTimeoutError(
            "no token was received within the timeout",
            code=grpc.StatusCode.DEADLINE_EXCEEDED,
            method=rpc.name,
            endpoint=pool.current.endpoint.name,
            definite=True,
        ) from cause
