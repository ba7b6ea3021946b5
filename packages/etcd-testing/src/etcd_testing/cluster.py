"""Several members of etcd that make one cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from ._peers import PeerProxy
from .errors import EtcdTestingError
from .options import ServerOptions
from .server import EtcdServer

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["EtcdCluster"]

_PAUSE = 0.02


class EtcdCluster:
    """A cluster of `size` members named m0, m1, …; started and closed as an `EtcdServer` is.

    `options` are those of `EtcdServer`, for every member; with `tls=True` all have certificates
    of one authority. A member is an `EtcdServer` and is stopped, killed, paused and
    restarted by itself. `peer_proxies` puts a proxy before the peer port of each, so that the
    network between them can be parted; such a cluster belongs to the event loop that starts it.
    """

    def __init__(
        self, size: int = 3, *, peer_proxies: bool = False, **options: Unpack[ServerOptions]
    ) -> None:
        if size < 1:
            raise ValueError(f"size should be 1 or more, not {size}")
        for option in ("client_port", "peer_port", "data_dir"):
            if option in options:
                raise ValueError(f"{option} cannot be the same for all members of a cluster")
        self._options = options
        self._made = 0
        self._peer_proxies: dict[EtcdServer, PeerProxy] | None = {} if peer_proxies else None
        self._ids: dict[EtcdServer, str] = {}
        self.members: list[EtcdServer] = []
        """The members, also those that do not run; a member that is new comes last."""
        for _ in range(size):
            self._make()
        for member in self.members:
            member.initial_cluster = self._all_members()

    def __getitem__(self, index: int) -> EtcdServer:
        return self.members[index]

    def __len__(self) -> int:
        return len(self.members)

    @property
    def endpoints(self) -> list[str]:
        """The addresses of all members for clients, "host:port" each."""
        return [member.endpoint for member in self.members]

    async def start(self) -> None:
        """Start all members at once and wait until all are healthy.

        Raises `StartError` of the first member that is not; then none is left running.
        """
        for proxy in self._proxies():
            proxy.open()
        try:
            for member in self.members:
                await member.start(wait=False)
            await _all_or_none(member.wait_healthy() for member in self.members)
        except BaseException:
            await asyncio.gather(*(member.kill() for member in self.members))
            raise

    async def close(self) -> None:
        """Close all members; idempotent, and final."""
        await asyncio.gather(*(member.close() for member in self.members))
        await asyncio.gather(*(proxy.close() for proxy in self._proxies()))

    async def __aenter__(self) -> EtcdCluster:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def leader(self, *, timeout: float = 10.0) -> EtcdServer:
        """The member that leads; waits until there is one that a majority follows.

        A member that is paused is not asked. Raises TimeoutError after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            asked = [member for member in self.members if member.running and not member.paused]
            leading = await asyncio.gather(*(_leads(member) for member in asked))
            for member, leads in zip(asked, leading, strict=True):
                if leads:
                    return member
            if time.monotonic() > deadline:
                raise TimeoutError(f"no leader after {timeout} s: {self.members}")
            await asyncio.sleep(_PAUSE)

    async def followers(self) -> list[EtcdServer]:
        """The members that run and do not lead, those paused left out."""
        leader = await self.leader()
        return [m for m in self.members if m is not leader and m.running and not m.paused]

    def new_member(self, name: str | None = None, **options: Unpack[ServerOptions]) -> EtcdServer:
        """Prepare one more member, which joins the cluster when it is started.

        First a client has to add its `peer_url` to the cluster (member add, as a learner or
        not); then `await member.start()`. `options` override those of the cluster. etcd refuses
        to add or remove a member while another has been there for less than five seconds; a
        cluster with `args=["--strict-reconfig-check=false"]` does not mind.
        """
        member = self._make(name, **options)
        if self._peer_proxies is not None:
            self._peer_proxies[member].open()
        member.initial_cluster = self._all_members()
        member.initial_cluster_state = "existing"
        return member

    async def discard(self, member: EtcdServer) -> None:
        """Close a member and forget it, once a client has removed it from the cluster."""
        if member not in self.members:
            raise EtcdTestingError(f"{member} is no member of this cluster")
        self.members.remove(member)
        await member.close()
        if self._peer_proxies is not None:
            await self._peer_proxies.pop(member).close()

    async def isolate(self, member: EtcdServer) -> None:
        """Part one member from all others; its clients still reach it. Needs `peer_proxies`."""
        await self.partition([member])

    async def partition(self, *groups: Sequence[EtcdServer]) -> None:
        """Let the members of each group reach one another only; it lasts until `heal`.

        Members of no group are together one more. Between groups no packet gets through and no
        connection is closed. A later call replaces an earlier one. Needs `peer_proxies`, and that
        each member has run once. Clients are not concerned: they have proxies of their own.
        """
        if self._peer_proxies is None:
            raise EtcdTestingError("this cluster was made without peer_proxies=True")
        group_of = {member: number for number, group in enumerate(groups) for member in group}
        if len(group_of) != sum(map(len, groups)) or not group_of.keys() <= set(self.members):
            raise ValueError("groups should hold members of this cluster, each no more than once")
        for member in self.members:
            if member not in self._ids:
                self._ids[member] = await member.member_id()
        for member, proxy in self._peer_proxies.items():
            parted = {
                self._ids[other]
                for other in self.members
                if group_of.get(other) != group_of.get(member)
            }
            proxy.part_from(parted, everyone=len(parted) == len(self.members) - 1 > 0)

    def heal(self) -> None:
        """Let all members reach one another again; what was held between them goes on."""
        for proxy in self._proxies():
            proxy.part_from(set(), everyone=False)

    def _proxies(self) -> list[PeerProxy]:
        return list((self._peer_proxies or {}).values())

    def _all_members(self) -> str:
        return ",".join(f"{member.name}={member.peer_url}" for member in self.members)

    def _make(self, name: str | None = None, **options: Unpack[ServerOptions]) -> EtcdServer:
        merged = self._options | options
        member = EtcdServer(name=name or f"m{self._made}", **merged)
        self._made += 1
        if self.members and merged.get("tls") is True:
            member.share_tls(self.members[0])
        if self._peer_proxies is not None:
            proxy = PeerProxy(member.peer_address, host=member.host)
            member.advertised_peer_address = proxy.endpoint
            self._peer_proxies[member] = proxy
        self.members.append(member)
        return member


async def _all_or_none(work: Iterable[Coroutine[object, object, None]]) -> None:
    # A gather that fails leaves the rest running; and a TaskGroup has only Python 3.11.
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _leads(member: EtcdServer) -> bool:
    try:
        metrics = await member.metrics(timeout=1.0)
    except OSError:
        return False
    # A deposed leader says that it is one until it hears of the other; what it can no longer do is
    # the linearizable read that /health stands for.
    return metrics.get("etcd_server_is_leader") == 1 and await member.healthy()
