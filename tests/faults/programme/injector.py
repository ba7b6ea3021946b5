"""The cluster, the proxies before each port, and the faults of both."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from etcd_testing import EtcdCluster, EtcdctlError, EtcdServer, FaultProxy
from programme.history import Fault, History
from programme.probes import Probes
from programme.recorder import Clock

__all__ = ["FAULTS", "Injector", "injector"]

# Frequent snapshots: a member that is added when the log does not reach back to its beginning,
# some 5000 entries, gets a snapshot. It may be removed and added again soon after another one.
_SETTINGS = [
    "--strict-reconfig-check=false",
    "--snapshot-count=200",
    "--experimental-watch-progress-notify-interval=100ms",
]

FAULTS = (
    "SIGKILL",
    "SIGTERM",
    "SIGSTOP",
    "black hole",
    "reset",
    "lost replies",
    "delay",
    "partition",
    "forget",
    "half-close",
    "defragment",
    "replace",
)
"""The faults of one member; some last for a while."""

_LASTS = {"SIGSTOP": (0.5, 1.2), "black hole": (0.5, 4.5), "partition": (0.5, 3.0)}
_ELSE = (0.5, 1.5)
_KILL_EVERY = 0.05
_CHANGES = 5


class Injector:
    """Three members, each behind one proxy for the traffic and one for the probes."""

    def __init__(
        self,
        cluster: EtcdCluster,
        proxies: dict[EtcdServer, list[FaultProxy]],
        history: History,
        clock: Clock,
    ) -> None:
        self.cluster = cluster
        self.proxies = proxies
        self._history = history
        self._clock = clock
        self._heard = dict.fromkeys(cluster.members, 0)
        self.lasts: tuple[float, float] | None = None
        """Seconds that every fault lasts; None for what is right for its kind."""

    def endpoints(self, number: int) -> list[str]:
        """The endpoints behind the first or the second proxy of each member."""
        return [proxies[number].endpoint for proxies in self.proxies.values()]

    def note_bytes(self) -> None:
        """Count from here which member the probes use."""
        for member, proxies in self.proxies.items():
            self._heard[member] = proxies[1].counters.to_client

    def in_use(self) -> EtcdServer:
        """The member that has sent most to the probes since `note_bytes`."""

        def heard(member: EtcdServer) -> int:
            return self.proxies[member][1].counters.to_client - self._heard[member]

        return max(self.cluster.members, key=heard)

    async def inject(
        self,
        name: str,
        member: EtcdServer,
        share: float,
        probes: Probes | None,
    ) -> Fault:
        """Cause a fault of a member, wait until the probes are served again, and end the fault.

        `share` is how long it lasts, from 0 for the shortest to 1 for the longest.
        """
        shortest, longest = self.lasts or _LASTS.get(name, _ELSE)
        seconds = shortest + share * (longest - shortest)
        fault = Fault(name, member.name, self._clock(), 0.0)
        self._history.add(fault)
        if probes is not None:
            probes.mark()
        await self._begin(name, member)
        struck = self._clock()
        if probes is not None:
            await probes.recover(fault)
        while self._clock() < struck + seconds:
            if name == "lost replies":
                for proxy in self.proxies[member]:
                    _ = proxy.kill_next_reply()
            await asyncio.sleep(_KILL_EVERY)
        await self.heal()
        fault.end = self._clock()
        return fault

    async def _begin(self, name: str, member: EtcdServer) -> None:
        proxies = self.proxies[member]
        if name == "SIGKILL":
            await member.kill()
        elif name == "SIGTERM":
            await member.stop()
        elif name == "SIGSTOP":
            await member.pause()
        elif name == "partition":
            await self.cluster.isolate(member)
        elif name == "replace":
            await self._remove(member)
        elif name == "defragment":
            await member.etcdctl("defrag", "--command-timeout=60s", timeout=90)
        else:
            for proxy in proxies:
                _strike(name, proxy)

    async def _remove(self, member: EtcdServer) -> None:
        """Remove a member, delete its data, and add it; `heal` starts it as a new member."""
        other = next(each for each in self.cluster.members if each is not member)
        known = await member.member_id()
        await _change(other, lambda listed: known not in listed, "remove", known)
        await member.kill()
        shutil.rmtree(member.data_dir)
        peer = member.peer_url
        await _change(
            other, lambda listed: peer in listed, "add", member.name, f"--peer-urls={peer}"
        )
        member.initial_cluster_state = "existing"

    async def heal(self) -> None:
        """End every fault, and wait until all members are healthy."""
        self.cluster.heal()
        for member, proxies in self.proxies.items():
            for proxy in proxies:
                proxy.heal()
            await member.resume()
            if not member.running:
                await member.start(wait=False)
        await asyncio.gather(*(member.wait_healthy() for member in self.cluster.members))

    def cut(self) -> None:
        """Close every connection of a client, also those that a proxy has forgotten."""
        for proxies in self.proxies.values():
            for proxy in proxies:
                proxy.cut()

    def random_member(self, choice: random.Random) -> EtcdServer:
        return choice.choice(self.cluster.members)


async def _change(member: EtcdServer, done: Callable[[str], bool], *args: str) -> None:
    """Change the membership by etcdctl; an election may take longer than etcdctl waits."""
    for tries in range(_CHANGES):
        try:
            await member.etcdctl("member", *args, timeout=60)
        except EtcdctlError:  # noqa: PERF203  # it is asked again
            with contextlib.suppress(EtcdctlError):
                if done(await member.etcdctl("member", "list", timeout=60)):
                    return
            if tries + 1 == _CHANGES:
                raise
        else:
            return


def _strike(name: str, proxy: FaultProxy) -> None:
    if name == "black hole":
        proxy.black_hole()
    elif name == "reset":
        proxy.reset()
    elif name == "lost replies":
        _ = proxy.kill_next_reply()
    elif name == "delay":
        proxy.delay(0.075, jitter=0.05)
    elif name == "forget":
        proxy.forget()
    elif name == "half-close":
        proxy.half_close()
    else:
        raise ValueError(f"a fault should be one of {FAULTS}, not {name!r}")


@asynccontextmanager
async def injector(
    history: History, clock: Clock, *, bin_dir: Path | None = None
) -> AsyncIterator[Injector]:
    """Start the cluster and its proxies."""
    async with AsyncExitStack() as stack:
        cluster = EtcdCluster(
            3, peer_proxies=True, bin_dir=bin_dir, args=_SETTINGS, start_timeout=90
        )
        await stack.enter_async_context(cluster)
        proxies = {
            member: [FaultProxy(member.endpoint), FaultProxy(member.endpoint)]
            for member in cluster.members
        }
        for both in proxies.values():
            for proxy in both:
                await stack.enter_async_context(proxy)
        history.about["etcd"] = cluster[0].version
        yield Injector(cluster, proxies, history, clock)
