"""How do several processes share one limit, so many calls in so many seconds?

python examples/rate_limiter.py                                 on an etcd of its own
python examples/rate_limiter.py --endpoints localhost:2379      on yours
python examples/rate_limiter.py --endpoints localhost:2379 --caller me --calls 5

Three processes make their calls under one limit, and the calls of each window are counted.

It is a fixed window: the first call puts a key with a lease of the window's length, each further
one puts the key again, and the window ends when etcd deletes the key with its lease. The key's
version, which etcd counts, is the number of calls in the window: there is no counter to read,
increase and write back, and no call is counted twice or lost.

Guaranteed: at most --limit calls in a window, by however many processes, and a window lasts
--window seconds at least (etcd ends leases up to a second late). It can be shorter by the time of
a round trip if the process that begins it dies at that moment.
Not guaranteed: an even rate. The calls of a window may all be made at once, so at the border of
two windows twice the limit can be made in a short time. Waiting processes are not served in order.
A call whose process dies, or whose answer is lost, counts although it was not made.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import demonstration

from etcd_client import Client, EventKind, RevisionCompactedError
from etcd_client.errors import LeaseNotFoundError


class RateLimiter:
    """At most `limit` calls in a window of `window` seconds, for all that use the same key."""

    def __init__(self, client: Client, key: bytes, limit: int, window: int) -> None:
        self._client = client
        self._key = key
        self._limit = limit
        self._window = window

    async def acquire(self) -> int:
        """Wait until a call is permitted; return the number of its window, which rises."""
        while True:
            window, full_at = await self._try()
            if window is not None:
                return window
            try:
                await self._client.watch_once(
                    self._key, start_revision=full_at + 1, kind=EventKind.DELETE
                )
            except RevisionCompactedError:
                pass  # look again

    async def try_acquire(self) -> int | None:
        """Return the number of the call's window; None if the window is full."""
        return (await self._try())[0]

    async def _try(self) -> tuple[int | None, int]:
        """Return the window, None if it is full, and the revision at which that was so."""
        txn, key = self._client.transactions, self._key
        while True:
            again = txn.put(key, b"", ignore_lease=True, ignore_value=True)
            counted = await self._client.transaction(
                [txn.version(key) > 0, txn.version(key) < self._limit],
                [again, txn.get(key)],
                [txn.get(key)],
            )
            found = counted.gets[0]
            if counted.succeeded:
                return found[0].create_revision, counted.revision
            if found:
                return None, counted.revision
            # There is no window: begin one. If another is faster, the lease ends unused.
            lease = await self._client.lease(self._window)
            try:
                begun = await self._client.transaction(
                    [txn.create(key) == 0], [txn.put(key, b"", lease)]
                )
                if begun.succeeded:
                    await lease.refresh()  # the window begins with the call, not with the grant
                    return begun.revision, begun.revision
                await lease.revoke()
            except LeaseNotFoundError:
                pass  # it took longer than the window


async def call(limiter: RateLimiter, client: Client, prefix: bytes, name: str, calls: int) -> None:
    """Make calls, each with a permit, and record in which windows."""
    for number in range(1, calls + 1):
        window = await limiter.acquire()
        print(f"{name} makes call {number} in window {window}")
        await client.put(prefix + f"calls/{name}/{number}".encode(), str(window).encode())


async def demonstrate(
    client: Client, prefix: bytes, limit: int, calls: int, processes: demonstration.Processes
) -> bool:
    """Let three processes make calls; return whether all were made within the limit."""
    async with processes:
        callers = [await processes.start(f"--caller={name}") for name in ("anna", "ben", "carla")]
        statuses = await asyncio.gather(*(caller.wait() for caller in callers))
    made = await client.get_prefix(prefix + b"calls/")
    windows = Counter(int(record.value) for record in made)
    for number, count in sorted(windows.items()):
        print(f"  window {number}: {count} calls")
    kept = len(made) == 3 * calls and max(windows.values()) <= limit
    print(f"{len(made)} calls in {len(windows)} windows, no more than {limit} in any: {kept}")
    return kept and not any(statuses)


async def main() -> int:
    parser = demonstration.options("rate-limiter", __doc__)
    parser.add_argument("--limit", type=int, default=5, help="calls in a window (5)")
    parser.add_argument("--window", type=int, default=1, help="seconds of a window (1)")
    parser.add_argument("--calls", type=int, default=4, help="calls of each process (4)")
    parser.add_argument("--caller", metavar="NAME", help="be one of the processes")
    options = parser.parse_args()
    prefix = options.prefix.encode()
    async with demonstration.etcd(options.endpoints) as endpoints:
        async with Client(endpoints=endpoints) as client:
            limiter = RateLimiter(client, prefix + b"limit", options.limit, options.window)
            if options.caller:
                await call(limiter, client, prefix, options.caller, options.calls)
                return 0
            settings = {name: getattr(options, name) for name in ("prefix", "limit", "window")}
            settings |= {"endpoints": endpoints, "calls": options.calls}
            processes = demonstration.Processes(__file__, **settings)
            try:
                kept = await demonstrate(client, prefix, options.limit, options.calls, processes)
            finally:
                await client.delete_prefix(prefix)
    return 0 if kept else 1


if __name__ == "__main__":
    demonstration.run(main)
