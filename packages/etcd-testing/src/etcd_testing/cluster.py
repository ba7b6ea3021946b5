"""A cluster of several members."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable, Sequence

from ._finish import finish
from ._peers import PeerProxy
from ._running import Running
from .errors import EtcdTestingError
from .options import ServerOptions, Unpack
from .server import EtcdServer

__all__ = ["EtcdCluster"]

_PAUSE = 0.02


class EtcdCluster(Running):
    """A cluster of `size` members named m0, m1, …; started and closed like an `EtcdServer`.

    `options` are those of `EtcdServer`, for every member; with `tls=True` all have certificates
    of one authority. Each member is an `EtcdServer`, which can be stopped, killed, paused and
    restarted. `peer_proxies` puts a proxy in front of each peer port, so that the network between
    the members can be partitioned; such a cluster belongs to the event loop that starts it.
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
        self._ids: dict[EtcdServer, tuple[int | None, str]] = {}
        self.members: list[EtcdServer] = []
        """The members, also those that are not running; new members come last."""
        for _ in range(size):
            self._make()
        for member in self.members:
            member.initial_cluster = self._all_members()

    def __getitem__(self, index: int) -> EtcdServer:
        return self.members[index]

    def __len__(self) -> int:
        return len(self.members)

    def __repr__(self) -> str:
        return f"<EtcdCluster {' '.join(f'{each.name}={each.url}' for each in self.members)}>"

    @property
    def endpoints(self) -> list[str]:
        """The addresses of all members for clients, each "host:port"."""
        return [member.endpoint for member in self.members]

    async def start(self) -> None:
        """Start all members in parallel and wait until all are healthy.

        Raises the `StartError` of the first member that fails; then none is left running.
        """
        for proxy in self._proxies():
            proxy.open()
        try:
            for member in self.members:
                await member.start(wait=False)
            await _all_or_none(member.wait_healthy() for member in self.members)
        except BaseException as error:
            await finish(asyncio.gather(*(member.kill() for member in self.members)), error)
            raise

    async def close(self) -> None:
        """Close all members; idempotent and final.

        A cancellation is raised after that.
        """
        await finish(self._close())

    async def _close(self) -> None:
        await asyncio.gather(*(member.close() for member in self.members))
        await asyncio.gather(*(proxy.close() for proxy in self._proxies()))

    async def leader(self, *, timeout: float = 60.0) -> EtcdServer:
        """Return the leader; wait until there is one that a majority follows.

        Paused members are not asked. Raises TimeoutError after `timeout` seconds.
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
        """Return the running members except the leader and paused ones."""
        leader = await self.leader()
        return [m for m in self.members if m is not leader and m.running and not m.paused]

    def new_member(self, name: str | None = None, **options: Unpack[ServerOptions]) -> EtcdServer:
        """Prepare another member, which joins the cluster when it is started.

        A client must first add its `peer_url` to the cluster (member add, as a learner or not);
        then `await member.start()`. `options` override those of the cluster. etcd refuses to add
        or remove a member within five seconds after another was connected, unless the cluster
        has `args=["--strict-reconfig-check=false"]`.
        """
        member = self._make(name, **options)
        if self._peer_proxies is not None:
            self._peer_proxies[member].open()
        member.initial_cluster = self._all_members()
        member.initial_cluster_state = "existing"
        return member

    async def discard(self, member: EtcdServer) -> None:
        """Close a member that a client has removed from the cluster, and remove it here."""
        if member not in self.members:
            raise EtcdTestingError(f"{member} is not a member of this cluster")
        self.members.remove(member)
        await finish(self._discard(member))

    async def _discard(self, member: EtcdServer) -> None:
        await member.close()
        if self._peer_proxies is not None:
            await self._peer_proxies.pop(member).close()

    async def isolate(self, member: EtcdServer) -> None:
        """Cut one member off from all others, not from clients. Needs `peer_proxies`."""
        await self.partition([member])

    async def partition(self, *groups: Sequence[EtcdServer]) -> None:
        """Partition the network between groups of members, until `heal`.

        Members that are in no group form another one. Between groups no byte passes and no
        connection is closed. A later call replaces an earlier one. Clients are not affected. Needs
        `peer_proxies`, and each member must have run once.
        """
        if self._peer_proxies is None:
            raise EtcdTestingError("this cluster was made without peer_proxies=True")
        group_of = {member: number for number, group in enumerate(groups) for member in group}
        if len(group_of) != sum(map(len, groups)) or not group_of.keys() <= set(self.members):
            raise ValueError("groups should be members of this cluster, each no more than once")
        for member in self.members:
            await self._learn_id(member)
        for member, proxy in self._peer_proxies.items():
            parted = {
                self._ids[other][1]
                for other in self.members
                if group_of.get(other) != group_of.get(member)
            }
            proxy.part_from(parted, everyone=len(parted) == len(self.members) - 1 > 0)

    async def _learn_id(self, member: EtcdServer) -> None:
        """Note its ID, which is another one if it was started again as a new member."""
        pid = member.pid
        known = self._ids.get(member)
        if known is not None and (pid is None or member.paused or known[0] == pid):
            return
        try:
            self._ids[member] = pid, await member.member_id()
        except (OSError, EtcdTestingError):
            if known is None:
                raise

    def heal(self) -> None:
        """End the partition; bytes that were held between members are passed on."""
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
    # A gather that fails leaves the rest running, and TaskGroup needs Python 3.11.
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    except BaseException as error:
        for task in tasks:
            task.cancel()
        await finish(asyncio.wait(tasks), error)
        raise


async def _leads(member: EtcdServer) -> bool:
    try:
        metrics = await member.metrics(timeout=1.0)
    except OSError:
        return False
    # A deposed leader reports that it leads until it hears of the new one, but it can no longer do
    # the linearizable read of /health.
    return metrics.get("etcd_server_is_leader") == 1 and await member.healthy()
