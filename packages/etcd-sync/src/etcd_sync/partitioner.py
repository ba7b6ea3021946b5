"""`Part` and `Partitioner` for synchronous code."""

# Written by tools/sync_client.py from the source of etcd-client; write it again with
#     python3 tools/dev.py run python tools/sync_client.py

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import etcd_client
from etcd_client import Compare
from etcd_sync._handle import Handle, Service, inner_of
from etcd_sync._worker import in_thread

__all__ = ["Part", "Partitioner"]


class Part(Handle):
    """A part that this member owns, for the function that works on it."""

    _inner: etcd_client.Part

    @property
    def name(self) -> bytes:
        """The part, as it was given to the `Partitioner`."""
        return self._inner.name

    @property
    def fencing_token(self) -> int:
        """The revision of the claim, higher than that of every earlier owner of the part."""
        return self._inner.fencing_token

    @property
    def is_lost(self) -> bool:
        """Whether the session, and so the part, is known to be lost."""
        return self._read(lambda: self._inner.is_lost)

    def ownership(self) -> Compare:
        """Return a compare for transactions that succeeds while this member owns the part."""
        return self._inner.ownership()

    _ending: threading.Event | None = None

    @property
    def ending(self) -> threading.Event:
        """Set when the work should end: the part is given away, the session lost or `run` ended."""
        if self._ending is None:
            self._ending = threading.Event()
        return self._ending


class Partitioner(Handle):
    """Divides a set of parts among all members that run it, and again whenever one comes or goes.

    All members must give the same `parts`. While they do not, for example during an update of the
    programs, a part may have no owner, but never two. A member is a key `<name>/members/<lease id>`
    with a lease of `ttl` seconds, and an owned part a key `<name>/parts/<part>` with the lease of
    its owner. Each member computes the shares from the same list of members: their sizes differ by
    one at most, and a change moves few parts.

    Guaranteed: a part has one owner at a time, as etcd sees it: it is claimed by a transaction that
    requires that nobody owns it, and released only when the work on it has ended, or when the lease
    of its owner has. Work is told to end, by `Part.ending`, when its part must be handed over and
    when the session is lost; after that it begins again with a new session. The same happens when
    somebody else has deleted the key of its part; it begins again with a new claim then. After an
    outage, or when all members but one have died, the rest own everything, at the latest when the
    leases have ended. Not guaranteed: that each part has an owner at every moment; while it is
    handed over it has none. A member that is stopped for longer than `ttl` does not know that its
    parts have other owners: guard changes with `Part.ownership()`, or pass `Part.fencing_token`
    along.
    """

    _inner: etcd_client.Partitioner

    def __init__(
        self, client: Service, name: bytes, parts: Iterable[bytes], *, ttl: int = 30
    ) -> None:
        inner_client = inner_of("client", client, Service)
        super().__init__(
            client._portal,
            client._portal.call(etcd_client.Partitioner, inner_client, name, parts, ttl=ttl),
        )

    @property
    def name(self) -> bytes:
        return self._inner.name

    @property
    def parts(self) -> Iterable[bytes]:
        return self._inner.parts

    @property
    def ttl(self) -> int:
        return self._inner.ttl

    @property
    def owned(self) -> frozenset[bytes]:
        """The parts that this member owns and works on."""
        return self._inner.owned

    def run(self, work: Callable[[Part], object]) -> None:
        """Be a member, and call `work(part)` for each part that is owned.

        `work` runs in a thread for each part. `Part.ending` is set when the part must be given
        away. The part is released when the work has returned, so it should return soon; while it
        does not, no other member gets the part. If it returns before that, the part stays owned. An
        error that it raises ends the membership, and is raised here after all parts were released.
        While etcd cannot be reached it tries again; `ClientClosedError` is raised when the client
        is closed.

        It runs until it is interrupted, as by Ctrl-C, or another thread closes the client. The work
        is told to end then, and the parts are released, or end with the lease if it does not end in
        time.
        """
        if not callable(work):
            raise TypeError(f"work must be callable, not {type(work).__name__}")

        async def run(part: etcd_client.Part) -> None:
            owned = Part._of(self._portal, part)
            await in_thread(work, owned, ending=owned.ending)

        self._portal.run(self._inner.run, run)
