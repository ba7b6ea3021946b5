"""What a call has been through after its first failure, and what follows from the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import grpc

from etcd_channel import errors
from etcd_channel._judgement import Backoff, Verdict, judge
from etcd_channel._members import Members
from etcd_channel._tokens import Tokens
from etcd_channel.rpc import Rpc

__all__ = ["Clock", "Course", "remaining", "within"]

# Renewals of a token within one call: a server that refuses every token that it made is not to
# be asked for ever.
_MOST_RENEWALS = 5

# Refusals of one call because users or roles have changed again while it was under way. Whoever
# changes hundreds of users at a stretch does nobody wrong, and neither does the caller.
_MOST_OLD_REVISIONS = 100

Clock = Callable[[], float]


class Course:
    """The course of one call, from its first failure on.

    Nearly every call succeeds at once and has none.
    """

    def __init__(
        self,
        rpc: Rpc[Any, Any],
        members: Members,
        endpoint: str | None,
        tokens: Tokens | None,
        clock: Clock,
        deadline: float | None,
    ) -> None:
        self.attempts = 0
        # Whether a sending went out whose fate is unknown: it leaves the call open, whatever
        # becomes of the sendings after it.
        self.unsettled = False
        self._rpc = rpc
        self._members = members
        self._candidates = members.candidates(endpoint)
        self._tokens = tokens
        self._clock = clock
        self._deadline = deadline
        self._renewals = 0
        self._backoff = Backoff()
        # Short pauses: what was changed is changed, and a token is best when it is new.
        self._renewing = Backoff(most=0.2)

    async def follow(self, failed: errors.ClientError, seen: int) -> None:
        """Return when it is time to send again; raise `failed` if there is no sense in it.

        `seen` is the count of the token with which the sending failed.
        """
        self.attempts += 1
        self.unsettled = self.unsettled or not failed.definite
        verdict = judge(self._rpc, failed)
        if verdict is Verdict.RAISE or remaining(self._clock, self._deadline) == 0:
            raise failed
        # Another endpoint and the first new token are tried at once.
        if verdict is Verdict.REPEAT:
            if self.attempts % self._candidates == 0:
                await self._pause(self._backoff)
            return
        self._renewals += 1
        if not self._may_renew(failed):
            raise failed
        tokens = self._tokens
        if self._renewals > 1:
            await self._pause(self._renewing)
            # What others fetched meanwhile may be old again.
            seen = tokens.fetched if tokens is not None else 0
        if tokens is not None:
            await within(
                remaining(self._clock, self._deadline),
                self._rpc,
                self._members,
                partial(tokens.renew, seen),
            )

    def _may_renew(self, refusal: errors.ClientError) -> bool:
        """Whether to send again after the server refused the token, if there was one.

        A user known by certificate has none, and hears only of changes.
        """
        if isinstance(refusal, errors.AuthOldRevisionError):
            return self._renewals <= _MOST_OLD_REVISIONS
        return self._tokens is not None and self._renewals <= _MOST_RENEWALS

    async def _pause(self, backoff: Backoff) -> None:
        pause = backoff.next()
        left = remaining(self._clock, self._deadline)
        await self._members.pause(pause if left is None else min(pause, left))


def remaining(clock: Clock, deadline: float | None) -> float | None:
    """The seconds that are left until a deadline; None if there is none."""
    return None if deadline is None else max(deadline - clock(), 0.0)


async def within(
    timeout: float | None,
    rpc: Rpc[Any, Any],
    members: Members,
    work: Callable[[float | None], Coroutine[Any, Any, None]],
) -> None:
    """Await what goes before a call, no longer than the call may take."""
    try:
        await work(timeout)
    except asyncio.TimeoutError as cause:
        raise errors.ConnectionTimeoutError(
            "no token came within the timeout",
            code=grpc.StatusCode.DEADLINE_EXCEEDED,
            method=rpc.name,
            endpoint=members.current.endpoint.name,
            definite=True,
        ) from cause
