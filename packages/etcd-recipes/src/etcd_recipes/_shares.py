"""Computes which member gets which parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

__all__ = ["shares"]


def shares(parts: Iterable[bytes], members: Sequence[bytes]) -> dict[bytes, set[bytes]]:
    """Divide the parts among the members; the same for each order of both.

    The sizes of the shares differ by one at most. Each part goes to the member with the highest
    hash of both that has not got its share yet, so that a part mostly stays where it was when a
    member comes or goes.
    """
    divided: dict[bytes, set[bytes]] = {member: set() for member in sorted(members)}
    if not divided:
        return divided
    everything = sorted(parts)
    size, larger = divmod(len(everything), len(divided))
    open_members = set(divided)
    for part in everything:
        member = max(open_members, key=lambda each: (_rank(each, part), each))
        share = divided[member]
        share.add(part)
        if len(share) > size:
            larger -= 1
        if len(share) > size or (len(share) == size and larger == 0):
            open_members.discard(member)
        if larger == 0:
            open_members = {each for each in open_members if len(divided[each]) < size}
    return divided


def _rank(member: bytes, part: bytes) -> bytes:
    return blake2b(part, digest_size=8, key=blake2b(member, digest_size=16).digest()).digest()
