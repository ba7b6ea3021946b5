"""How does a service stay registered, and how is it found, while etcd restarts or leases are lost?

python examples/service_registry.py                               on an etcd of its own
python examples/service_registry.py --endpoints localhost:2379    on yours, without the outage
python examples/service_registry.py --endpoints localhost:2379 --prefix web/ --instance 10.0.0.7:80
python examples/service_registry.py --endpoints localhost:2379 --prefix web/ --discover

Three instances register, as processes of their own. One loses its lease, one is killed, and etcd
is away for longer than the leases live; the list of addresses follows.

An instance is a `Registration`, the list is a `Discovery`.

Guaranteed: an instance that runs and reaches etcd is in the list, and comes back by itself after
the loss of its lease, the deletion of its key, or an outage. One that was killed leaves the list
when its lease has ended. Discovery loses no change, keeps the list while etcd cannot be reached,
and says when that begins and ends.
Not guaranteed: that an instance in the list answers. During an outage the list may be old.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import demonstration

from etcd_client import Client, ClientError, Discovery, Reconnect, RegistrationChange
from etcd_testing import EtcdServer

PAUSE = 0.5
"""Seconds before another attempt after an error."""


async def stay_registered(client: Client, service: bytes, address: str, ttl: int) -> None:
    """Keep the address registered, until cancelled."""

    def tell(change: RegistrationChange) -> None:
        if change.registered:
            print(f"{address} is registered")
        else:
            print(f"{address} is not registered any more: {change.reason}")

    async with client.registration(service, address, ttl=ttl, timeout=None, on_change=tell):
        await asyncio.Event().wait()


class Directory:
    """The addresses of a service, as they are now or were known last."""

    def __init__(self, client: Client, service: bytes, broken: asyncio.Event) -> None:
        self.addresses: list[str] = []
        self.reachable = False
        """Whether etcd answered when it was last asked."""
        self._client = client
        self._service = service
        self._broken = broken
        self._changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition of the attributes holds."""
        while not condition():
            await self._changed.wait()

    async def follow(self) -> None:
        """Keep the list, until cancelled."""
        async with self._client.discovery(self._service, timeout=None) as discovery:
            await asyncio.gather(self._follow_endpoints(discovery), self._follow_breaks())

    async def _follow_endpoints(self, discovery: Discovery) -> None:
        async for endpoints in discovery.changes():
            addresses = sorted(endpoint.address for endpoint in endpoints)
            if addresses != self.addresses:
                self.addresses = addresses
                print(f"the addresses are {self}")
            self._change(reachable=True)

    async def _follow_breaks(self) -> None:
        while True:
            await self._broken.wait()
            print(f"the connection broke, the last known addresses are {self}")
            self._change(reachable=False)
            while not self.reachable:
                self._broken.clear()
                try:
                    await self._client.get(self._service)
                    self._change(reachable=True)
                except ClientError:
                    await asyncio.sleep(PAUSE)
            print("etcd answers again")

    def _change(self, *, reachable: bool) -> None:
        self.reachable = reachable
        self._changed.set()
        self._changed = asyncio.Event()

    def __str__(self) -> str:
        return ", ".join(self.addresses) or "none"


async def until_all_have_new_leases(client: Client, service: bytes, old: set[int]) -> None:
    """Wait until as many keys as there were leases are there, without these leases."""
    while True:
        found = await client.get_prefix(service + b"/")
        if len(found) == len(old) and not old & {kv.lease for kv in found}:
            return
        await client.watch_prefix_once(service + b"/", start_revision=found.header.revision + 1)


async def demonstrate(
    client: Client,
    service: bytes,
    directory: Directory,
    processes: demonstration.Processes,
    etcd: EtcdServer | None,
    ttl: int,
) -> None:
    """Register three instances and let things go wrong, one after the other."""
    instances = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]
    async with processes:
        started = [await processes.start(f"--instance={address}") for address in instances]
        await directory.until(lambda: directory.addresses == instances)
        print(f"-- the lease of {instances[0]} ends")
        registered = await client.get(service + b"/" + instances[0].encode())
        assert registered is not None
        await client.revoke_lease(registered.lease)
        await directory.until(lambda: directory.addresses == instances[1:])
        await directory.until(lambda: directory.addresses == instances)
        print(f"-- SIGKILL to {instances[2]}")
        started[2].kill()
        await directory.until(lambda: directory.addresses == instances[:2])
        if etcd is not None:
            leases = {kv.lease for kv in await client.get_prefix(service + b"/")}
            print("-- etcd stops, for longer than the leases live")
            await etcd.stop()
            await directory.until(lambda: not directory.reachable)
            await asyncio.sleep(ttl + 1)
            await etcd.start()
            print("-- etcd is back")
            await until_all_have_new_leases(client, service, leases)
            await directory.until(
                lambda: directory.reachable and directory.addresses == instances[:2]
            )
    await directory.until(lambda: not directory.addresses)
    print("All instances were found, and found again.")


async def main() -> int:
    parser = demonstration.options("service-registry", __doc__)
    parser.add_argument("--ttl", type=int, default=2, help="seconds that a lease lives (2)")
    role = parser.add_mutually_exclusive_group()
    role.add_argument("--instance", metavar="ADDRESS", help="register this, until Ctrl-C")
    role.add_argument("--discover", action="store_true", help="print the list, until Ctrl-C")
    options = parser.parse_args()
    service = options.prefix.rstrip("/").encode()
    broken = asyncio.Event()

    def on_reconnect(reconnect: Reconnect) -> None:
        """Note that a stream broke: the list goes on, but nobody knows when."""
        broken.set()

    async with contextlib.AsyncExitStack() as stack:
        etcd, endpoints = None, options.endpoints
        if endpoints is None:
            etcd = await stack.enter_async_context(EtcdServer())
            endpoints = etcd.endpoint
        client = Client(endpoints=endpoints, on_reconnect=on_reconnect)
        await stack.enter_async_context(client)
        if options.instance:
            await stay_registered(client, service, options.instance, options.ttl)
        directory = Directory(client, service, broken)
        following = asyncio.create_task(directory.follow())
        if options.discover:
            await following
        settings = {"endpoints": endpoints, "prefix": options.prefix, "ttl": options.ttl}
        processes = demonstration.Processes(__file__, **settings)
        await demonstrate(client, service, directory, processes, etcd, options.ttl)
        following.cancel()
    return 0


if __name__ == "__main__":
    demonstration.run(main)
