"""Frees claims whose outcome is unknown, in the background."""

from __future__ import annotations

from collections.abc import Iterable

from etcd_channel import ClientError
from etcd_kv import KVClient
from etcd_lock import Session
from etcd_recipes._waiting import within

__all__ = ["free_later"]

# Seconds between two attempts: the first and the longest pause.
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 5.0
# How often to look for a claim whose put may still arrive: for about half a minute.
_CHECKS = 9


def free_later(session: Session, claims: Iterable[bytes], token: bytes) -> None:
    """Delete those of the keys that have the value `token`, while the session lives.

    A claim that stayed would keep its job from all others for as long as the session lives.
    """
    if not (session.channel.closed or session.is_lost):
        session.channel.run_in_background(_free(session, tuple(claims), token))


async def _free(session: Session, claims: tuple[bytes, ...], token: bytes) -> None:
    kv, pause, checks = KVClient(session.channel), _FIRST_PAUSE, 0
    txn = kv.transactions
    while checks < _CHECKS:
        await within(pause, session.lease.until_lost())
        if session.is_lost:
            return
        pause = min(2 * pause, _LONGEST_PAUSE)
        try:
            for claim in claims:
                own = [txn.value(claim) == token]
                if (await kv.transaction(own, [txn.delete(claim)])).succeeded:
                    return  # one transaction makes one claim
        except ClientError:
            continue
        checks += 1
