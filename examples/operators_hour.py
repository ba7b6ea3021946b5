"""An operator's tasks: check a cluster, tidy it up, take a snapshot and verify it.

python examples/operators_hour.py                                     on a cluster of its own
python examples/operators_hour.py --endpoints a:2379,b:2379 \
    --snapshot backup.db --keep 10000                                 on yours

It needs root's rights where the cluster has users: set ETCD_USER to name:password.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from etcd_client import Client, ClientError, MemberStatus
from etcd_testing import EtcdCluster


def chapter(title: str) -> None:
    print(f"\n{title}")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a head, each column as wide as it needs."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, ["-" * width for width in widths], *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print(f"  {'  '.join(cells).rstrip()}")


def size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def row(report: MemberStatus) -> list[str]:
    """The row of a member; for one that does not answer, the error."""
    name = report.member.name or "not started"
    if report.status is None:
        return [name, report.endpoint or "-", "-", "-", "-", "-", "-", str(report.error)]
    status = report.status
    role = "leader" if status.leader_id == report.member.id else "follower"
    return [
        name,
        report.endpoint or "-",
        status.version,
        "learner" if status.is_learner else role,
        size(status.db_size),
        size(status.db_size_in_use),
        f"{status.raft_applied_index}/{status.raft_index}",
        ", ".join(status.errors) or "none",
    ]


async def look(client: Client) -> None:
    chapter("The members")
    reports = sorted(await client.status_cluster(), key=lambda report: report.member.name)
    head = ["member", "endpoint", "etcd", "role", "size", "in use", "applied", "troubles"]
    table(head, [row(report) for report in reports])
    alarms = [
        f"{alarm.alarm_type.name} of {alarm.member_id:x}" for alarm in await client.list_alarms()
    ]
    print(f"  alarms: {', '.join(alarms) or 'none'}")


async def compact(client: Client, keep: int) -> int:
    """Compact all but the last revisions; return the newest."""
    chapter("Compact")
    newest = (await client.status()).header.revision
    if newest - keep < 1:
        print(f"  revision {newest}: there is nothing to forget, {keep} revisions are kept")
        return newest
    try:
        await client.compact(newest - keep, physical=True)
    except ClientError as error:
        # Others compact too, etcd itself with --auto-compaction-retention.
        print(f"  at {newest - keep} of {newest}: {error.message}")
    else:
        print(f"  history begins at {newest - keep}, the newest revision is {newest}")
    return newest


async def defragment(client: Client) -> None:
    chapter("Defragment, one member after the other")
    async for done in client.defragment_cluster():
        print(
            f"  {done.member.name}: {size(done.db_size_before)} → {size(done.db_size_after)},"
            f" busy for {done.seconds * 1000:.0f} ms; all members are well"
        )
    for alarm in await client.disarm_alarm():
        # The alarm stays until it is disarmed.
        print(f"  disarmed the alarm {alarm.alarm_type.name} of {alarm.member_id:x}")


async def snapshot(client: Client, path: Path) -> None:
    chapter("Snapshot")
    began = time.monotonic()
    quarters = 0

    def progress(done: int, total: int) -> None:
        nonlocal quarters
        while quarters < 4 * done // total:
            quarters += 1
            print(f"  {25 * quarters} % of {size(total)}")

    taken = await client.snapshot(path, progress=progress)
    print(f"  {path}: {size(taken.size)} in {time.monotonic() - began:.1f} s")
    if await asyncio.to_thread(checksum, path, taken.size - 32) != taken.sha256:
        raise OSError(f"the disk does not give back what was written: {path}")
    print(f"  SHA-256 {taken.sha256}: so the server says, so it came, so it is on the disk")


def checksum(path: Path, count: int) -> str:
    """The SHA-256 of the first bytes of a file, in hexadecimal."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while count:
            piece = file.read(min(count, 1 << 20))
            if not piece:
                break
            found.update(piece)
            count -= len(piece)
    return found.hexdigest()


async def verify(client: Client, revision: int) -> bool:
    """Print whether all members have the same data at a revision."""
    chapter("Verify")
    hashes = {}
    for report in await client.status_cluster():
        if report.endpoint is None or report.member.is_learner:
            continue
        found = await client.hash_kv(revision, endpoint=report.endpoint)
        hashes[report.member.name] = (found.hash, found.compact_revision)
    same = len(set(hashes.values())) == 1
    for name, (number, compacted) in hashes.items():
        print(f"  {name}: hash {number:08x} of revisions {max(compacted, 1)} to {revision}")
    print(f"  all members hold {'the same' if same else 'NOT the same'}")
    return same


async def hour(client: Client, path: Path, keep: int) -> bool:
    began = time.monotonic()
    await look(client)
    revision = await compact(client, keep)
    await defragment(client)
    await snapshot(client, path)
    same = await verify(client, revision)
    await look(client)
    print(f"\nThe hour is over; it took {time.monotonic() - began:.1f} s.")
    return same


@contextlib.asynccontextmanager
async def a_cluster() -> AsyncIterator[list[str]]:
    """Start three members, with something to tidy up."""
    async with EtcdCluster(3) as servers, Client(endpoints=servers.endpoints) as client:
        print(f"Started three members of etcd {servers[0].version}.")
        for number in range(300):
            await client.put(b"sensor/%d" % (number % 10), bytes(50_000))
        yield servers.endpoints


async def main() -> int:
    parser = argparse.ArgumentParser(description="An operator's hour with the etcd client.")
    parser.add_argument("--endpoints", help="your cluster: host:port, several by commas")
    parser.add_argument("--snapshot", type=Path, help="where to (needed with --endpoints)")
    parser.add_argument("--keep", type=int, default=100, help="revisions of history to keep (100)")
    arguments = parser.parse_args()
    if arguments.endpoints and not arguments.snapshot:
        parser.error("--snapshot says where your snapshot is to be")
    if arguments.keep < 0:
        parser.error(f"--keep must be 0 or more, not {arguments.keep}")
    username, _, password = os.environ.get("ETCD_USER", "").partition(":")
    try:
        async with contextlib.AsyncExitStack() as stack:
            endpoints = arguments.endpoints or await stack.enter_async_context(a_cluster())
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            client = await stack.enter_async_context(
                Client(endpoints=endpoints, username=username or None, password=password or None)
            )
            same = await hour(client, arguments.snapshot or folder / "etcd.db", arguments.keep)
    except (ClientError, OSError, ValueError) as error:
        print(f"It failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
