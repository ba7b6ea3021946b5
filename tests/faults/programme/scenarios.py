"""Faults that need servers of their own; each scenario says what it found wrong."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

from etcd_client import ClientError, LeaseExpiredError, RevisionCompactedError, Watch
from etcd_testing import EtcdCluster, EtcdServer, FaultProxy
from programme.connecting import PATIENT, connected
from programme.history import History, Scenario
from programme.streams import ends_of_streams, goaway

__all__ = ["SCENARIOS", "play"]

_LONG = 60.0
"""Seconds after which a client that has said nothing is silent."""
_KILLED = 30.0
"""Seconds for the proxy to say that it has killed a reply."""
_TTL = 2
_REPLIES = 10
_BEHIND = 6500
"""Writes; a leader keeps 5000 in its log behind a snapshot, and some reach the member late."""
_AT_A_TIME = 100
_FIRST = 2
"""The revision of the first write to an empty store."""
_HANDFUL = 20

Play = Callable[[Scenario, "Setting"], Awaitable[None]]


class Setting:
    """What a scenario may use."""

    def __init__(self, bin_dir: Path | None, directory: Path, outage: float) -> None:
        self.bin_dir = bin_dir
        self.directory = directory
        self.outage = outage
        """Seconds for which all members are down."""


async def play(history: History, setting: Setting) -> None:
    """Play all scenarios, one after the other."""
    for name, playing in SCENARIOS.items():
        scenario = Scenario(name)
        history.add(scenario)
        await playing(scenario, setting)


async def lost_reply(scenario: Scenario, setting: Setting) -> None:
    """A caller whose reply is lost is told that the write may have been applied; it was, once."""
    async with _server(setting) as (server, proxy):
        async with connected([proxy.endpoint], **PATIENT) as client:
            txn = client.transactions
            async with connected([server.endpoint], **PATIENT) as direct:
                for number in range(_REPLIES):
                    key = f"key/{number}"
                    await client.get(key.encode())
                    killed = proxy.kill_next_reply()
                    scenario.times += 1
                    scenario.operations += 1
                    try:
                        if number % 2:
                            await client.put(key.encode(), b"")
                        else:
                            await client.transaction(None, [txn.put(key, "")])
                    except ClientError as error:
                        if error.definite:
                            scenario.problems.append(f"lost: {key} was said to be refused")
                    else:
                        scenario.problems.append(f"silent: {key} was acknowledged")
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(asyncio.shield(killed), _KILLED)
                    if not killed.done():
                        scenario.problems.append(f"no reply for {key} was killed")
                    proxy.heal()
                    found = await direct.get(key.encode())
                    if found is None:
                        scenario.problems.append(f"lost: {key} is not there")
                    elif found.version != 1:
                        scenario.problems.append(f"repeated: {key} has version {found.version}")
        metrics = await server.metrics()
        scenario.saw = f"{metrics['etcd_mvcc_put_total']:.0f} puts of {_REPLIES} calls"


async def compacted_while_cut_off(scenario: Scenario, setting: Setting) -> None:
    """A watch whose events are compacted away says so, and a cache reads the keys again."""
    async with _server(setting) as (server, proxy):
        async with connected([proxy.endpoint]) as client:
            async with connected([server.endpoint]) as direct:
                await direct.put(b"key/0", b"")
                async with client.cache(b"key/") as cache, client.watch_prefix(b"key/") as watch:
                    proxy.refuse()
                    proxy.cut()
                    for number in range(_HANDFUL):
                        await direct.put(b"key/%d" % number, b"written meanwhile")
                    last = await direct.put(b"key/0", b"last")
                    await direct.compact(last.header.revision)
                    began = time.monotonic()
                    proxy.heal()
                    scenario.times += 1
                    scenario.operations += _HANDFUL + 1
                    try:
                        event = await asyncio.wait_for(watch.__anext__(), _LONG)
                    except RevisionCompactedError:
                        took = time.monotonic() - began
                        scenario.saw = f"the watch said so after {took:.2f} s"
                    except asyncio.TimeoutError:
                        scenario.problems.append("silent: the watch did not end")
                    else:
                        at = event.kv.mod_revision
                        scenario.problems.append(f"silent: the watch went on at {at}")
                    await cache.catch_up(linearizable=True, timeout=_LONG)
                    entry = cache.get(b"key/0")
                    if entry is None or entry.value != b"last" or len(cache) != _HANDFUL:
                        scenario.problems.append("lost: the cache has other keys than etcd")


async def behind_by_a_snapshot(scenario: Scenario, setting: Setting) -> None:
    """A watch that moves to a member that is far behind delivers nothing again, and all of it."""
    args = ["--snapshot-count=200"]
    cluster = EtcdCluster(3, peer_proxies=True, bin_dir=setting.bin_dir, args=args)
    async with cluster, FaultProxy("127.0.0.1:1") as first, FaultProxy("127.0.0.1:1") as second:
        ahead = await cluster.leader(timeout=_LONG)
        behind = next(member for member in cluster.members if member is not ahead)
        first.upstream, second.upstream = ahead.endpoint, behind.endpoint
        second.refuse()
        async with connected([first.endpoint, second.endpoint], **PATIENT) as client:
            async with connected([ahead.endpoint], **PATIENT) as direct:
                async with client.watch_prefix(b"key/") as watch:
                    await cluster.isolate(behind)
                    scenario.times += 1
                    seen: list[int] = []
                    for _ in range(0, _BEHIND, _AT_A_TIME):
                        await asyncio.gather(
                            *(direct.put(b"key/%d" % number, b"") for number in range(_AT_A_TIME))
                        )
                        await _read(watch, seen, _AT_A_TIME)
                    first.refuse()
                    second.heal()
                    first.cut()
                    cluster.heal()
                    for number in range(_HANDFUL):
                        await direct.put(b"key/%d" % number, b"")
                    await _read(watch, seen, _HANDFUL)
        scenario.operations += len(seen)
        if len(set(seen)) < len(seen):
            scenario.problems.append(f"repeated: {len(seen) - len(set(seen))} events")
        # Nothing else is written, so the revisions of the events follow each other.
        missing = {*range(_FIRST, _FIRST + _BEHIND + _HANDFUL)} - {*seen}
        if missing:
            scenario.problems.append(f"silent: {len(missing)} events are missing")
        if seen != sorted(seen):
            scenario.problems.append("the events are not in order")
        metrics = await behind.metrics()
        snapshots = sum(
            value
            for name, value in metrics.items()
            if name.startswith("etcd_network_snapshot_receive_success")
        )
        if not snapshots:
            scenario.problems.append("the member was not so far behind that it needed a snapshot")
        scenario.saw = f"the member got {snapshots:.0f} snapshot for {len(seen)} revisions"


async def blocked_loop(scenario: Scenario, setting: Setting) -> None:
    """A lease is not claimed after a program has blocked its event loop for too long."""
    async with _server(setting) as (server, _):
        async with connected([server.endpoint]) as client:
            with contextlib.suppress(LeaseExpiredError):
                async with client.lease(_TTL, keep_alive=True) as lease:
                    blocked = lease.remaining + 1.0
                    time.sleep(blocked)  # noqa: ASYNC251  # it is the fault
                    scenario.times += 1
                    scenario.operations += 1
                    if lease.is_lost:
                        scenario.saw = f"lost at the first look, after {blocked:.1f} s"
                    else:
                        scenario.problems.append("over-claimed: the lease is said to be held")


async def older_snapshot(scenario: Scenario, setting: Setting, token: str) -> None:
    """A watch does not wait in silence for revisions that an older snapshot does not have."""
    async with EtcdServer(bin_dir=setting.bin_dir) as server:
        saved = setting.directory / f"snapshot-{server.version}"
        async with connected([server.endpoint]) as client:
            async with client.cache(b"key") as cache, client.watch(b"key") as watch:
                await client.put(b"key", b"saved")
                await server.etcdctl("snapshot", "save", str(saved))
                for _ in range(_HANDFUL):
                    await client.put(b"key", b"lost")
                seen: list[int] = []
                await _read(watch, seen, _HANDFUL + 1)
                await server.stop()
                await server.restore(saved, cluster_token=token)
                scenario.times += 1
                scenario.operations += len(seen)
                began = time.monotonic()
                try:
                    await asyncio.wait_for(watch.__anext__(), _LONG)
                except ClientError as error:
                    took = time.monotonic() - began
                    scenario.saw = f"{type(error).__name__} after {took:.2f} s"
                except asyncio.TimeoutError:
                    scenario.problems.append("silent: the watch waits for what is lost")
                else:
                    scenario.problems.append("silent: the watch went on in another history")
                await cache.catch_up(linearizable=True, timeout=_LONG)
                entry = cache.get(b"key")
                if entry is None or entry.value != b"saved":
                    scenario.problems.append("silent: the cache has what is lost")


async def all_members_down(scenario: Scenario, setting: Setting) -> None:
    """An outage is one warning for each client, however much fails, and ends soon after it."""
    async with EtcdCluster(3, bin_dir=setting.bin_dir, start_timeout=90) as cluster:
        async with connected(cluster.endpoints, timeout=5.0) as client:
            async with client.watch(b"key") as watch:
                await client.put(b"key", b"")
                await watch.__anext__()
                with _warnings() as warnings:
                    await asyncio.gather(*(member.kill() for member in cluster.members))
                    scenario.times += 1
                    began, busy = time.monotonic(), time.process_time()
                    while time.monotonic() < began + setting.outage:
                        scenario.operations += 1
                        with contextlib.suppress(ClientError):
                            await client.get(b"key", timeout=1.0)
                            scenario.problems.append("an answer while all members were down")
                    busy = (time.process_time() - busy) / (time.monotonic() - began)
                    # A member that starts and is paused may be another outage.
                    warned = len(warnings)
                    for member in cluster.members:
                        await member.start(wait=False)
                    await asyncio.gather(*(member.wait_healthy() for member in cluster.members))
                    up = time.monotonic()
                    await _until_served(lambda: client.get(b"key"))
                    answered = time.monotonic() - up
                    await _until_served(lambda: client.put(b"key", b"after"))
                    await asyncio.wait_for(watch.__anext__(), _LONG)
                    if warned > 1:
                        scenario.problems.append(f"{warned} warnings")
                    if not warned:
                        scenario.problems.append("silent: no warning")
                scenario.saw = (
                    f"{warned} WARNING in {setting.outage:.0f} s, "
                    f"{busy:.1%} of a processor, "
                    f"an answer {answered:.2f} s after the members were healthy"
                )


SCENARIOS: dict[str, Play] = {
    "lost reply": lost_reply,
    "compacted while cut off": compacted_while_cut_off,
    "ends of streams": lambda scenario, setting: ends_of_streams(scenario),
    "GOAWAY": lambda scenario, setting: goaway(scenario),
    "behind by a snapshot": behind_by_a_snapshot,
    "blocked loop": blocked_loop,
    "older snapshot": partial(older_snapshot, token="restored"),
    "all members down": all_members_down,
}


@asynccontextmanager
async def _server(setting: Setting) -> AsyncIterator[tuple[EtcdServer, FaultProxy]]:
    async with EtcdServer(bin_dir=setting.bin_dir) as server:
        async with FaultProxy(server.endpoint) as proxy:
            yield server, proxy


async def _read(watch: Watch, seen: list[int], count: int) -> None:
    """Read events and append their revisions; fewer if no more come."""
    with contextlib.suppress(asyncio.TimeoutError):
        for _ in range(count):
            event = await asyncio.wait_for(watch.__anext__(), _LONG)
            seen.append(event.kv.mod_revision)


async def _until_served(calling: Callable[[], Awaitable[object]]) -> None:
    until = time.monotonic() + _LONG
    while True:
        try:
            await calling()
        except ClientError:  # noqa: PERF203  # it is asked again
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.01)
        else:
            return


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def _warnings() -> Iterator[list[logging.LogRecord]]:
    """What the client logs meanwhile, from WARNING on."""
    kept, logger = _Kept(), logging.getLogger("etcd_channel")
    logger.addHandler(kept)
    try:
        yield kept.records
    finally:
        logger.removeHandler(kept)
