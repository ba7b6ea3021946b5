"""Three members behind a proxy each, the faults of one of them, and their repair."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from etcd_testing import EtcdCluster, EtcdServer, FaultProxy

__all__ = ["FAULTS", "MEMBERS", "Rig", "rig"]

FAULTS = ("sigkill", "sigterm", "sigstop", "black-hole", "forgotten")
MEMBERS = 3
# Longer than an election takes here (see `EtcdServer`).
QUIET = 0.5


class Rig:
    """The cluster, and the proxies between it and the measured client."""

    def __init__(self, cluster: EtcdCluster, proxies: dict[EtcdServer, FaultProxy]) -> None:
        self._cluster = cluster
        self._proxies = proxies
        # The bytes that each proxy had passed to earlier clients.
        self._before = dict.fromkeys(proxies, 0)

    @property
    def endpoints(self) -> list[str]:
        """The addresses for the measured client."""
        return [proxy.endpoint for proxy in self._proxies.values()]

    def in_use(self) -> EtcdServer:
        """The member that the client uses: the one that sent it most."""

        def heard(member: EtcdServer) -> int:
            return self._proxies[member].counters.to_client - self._before[member]

        return max(self._proxies, key=heard)

    async def leads(self, member: EtcdServer) -> bool:
        """Whether a member is the leader."""
        return await self._cluster.leader() is member

    def forget_clients(self) -> None:
        """Forget the bytes of earlier clients: the next client is the measured one."""
        for member, proxy in self._proxies.items():
            proxy.cut()
            self._before[member] = proxy.counters.to_client

    async def healthy_endpoint(self, struck: EtcdServer) -> str:
        """The address of a member that stays healthy, without a proxy; the leader if it can be."""
        leader = await self._cluster.leader()
        if leader is not struck:
            return leader.endpoint
        return next(member.endpoint for member in self._cluster.members if member is not struck)

    async def strike(self, fault: str, member: EtcdServer) -> None:
        """Cause a fault on a member; return when it is complete."""
        if fault == "sigkill":
            await member.kill()
        elif fault == "sigterm":
            await member.stop()
        elif fault == "sigstop":
            await member.pause()
        elif fault == "black-hole":
            self._proxies[member].black_hole()
        elif fault == "forgotten":
            self._proxies[member].forget()
        else:
            raise ValueError(f"fault should be one of {FAULTS}, not {fault!r}")

    async def heal(self) -> None:
        """Repair the cluster, and wait until it is healthy."""
        self.forget_clients()
        for member, proxy in self._proxies.items():
            proxy.heal()
            await member.resume()
            if not member.running:
                await member.start(wait=False)
        await self._healthy()
        await asyncio.sleep(QUIET)
        await self._healthy()
        await self._cluster.leader()

    async def _healthy(self) -> None:
        await asyncio.gather(*(member.wait_healthy() for member in self._cluster.members))


@asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    """Start the cluster and its proxies."""
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(EtcdCluster(MEMBERS))
        proxies = {
            member: await stack.enter_async_context(FaultProxy(member.endpoint))
            for member in cluster.members
        }
        yield Rig(cluster, proxies)
