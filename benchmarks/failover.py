"""How long a client of three members is not served when the one in use fails; see README.md."""

from __future__ import annotations

import argparse
import asyncio
import collections
import math
import statistics
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from failover_operations import LIMIT, OPERATIONS, Outcome, Round
from failover_rig import FAULTS, MEMBERS, Rig, rig

from etcd_channel import ClientError
from etcd_client import Client

__all__ = ["main"]

# The limit of a whole round; each wait in it has a lower one.
ROUND_LIMIT = 3 * LIMIT
# How many clients are made to get one that uses the wanted member.
CLIENTS = 100
WIDTH = 16


@asynccontextmanager
async def client_of(rig: Rig, *, leader: bool) -> AsyncIterator[Client]:
    """Return a new client that uses the leader, or another member: clients choose at random."""
    for _ in range(CLIENTS):
        rig.forget_clients()
        async with Client(endpoints=rig.endpoints) as client:
            if await rig.leads(rig.in_use()) is leader:
                yield client
                return
    raise RuntimeError(f"none of {CLIENTS} clients has chosen such a member")


async def play(rig: Rig, fault: str, operation: str, *, leader: bool) -> Outcome:
    """Run one round with a new client, and repair the cluster."""
    try:
        async with client_of(rig, leader=leader) as client:
            return await asyncio.wait_for(
                OPERATIONS[operation](Round(rig, fault, client)), ROUND_LIMIT
            )
    except ClientError as error:
        return Outcome(math.inf, failure=type(error).__name__)
    finally:
        await rig.heal()


async def measure(faults: Sequence[str], operations: Sequence[str], rounds: int) -> None:
    """Print the table line by line."""
    print(f"\nseconds without service, median / worst of {rounds}\n")
    print("".join(word.ljust(WIDTH) for word in ("", *operations)).rstrip())
    notes: list[str] = []
    async with rig() as field:
        for fault in faults:
            print(fault.ljust(WIDTH), end="", flush=True)
            for operation in operations:
                outcomes = [
                    await play(field, fault, operation, leader=not number % MEMBERS)
                    for number in range(rounds)
                ]
                print(cell(outcomes).ljust(WIDTH), end="", flush=True)
                notes += notes_on(f"{fault}, {operation}", outcomes)
            print()
    print("", *notes, sep="\n")


def cell(outcomes: Sequence[Outcome]) -> str:
    seconds = [outcome.seconds for outcome in outcomes]
    return f"{shown(statistics.median_high(seconds))} / {shown(max(seconds))}"


def shown(seconds: float) -> str:
    return f"{seconds:.2f}" if math.isfinite(seconds) else "never"


def notes_on(what: str, outcomes: Sequence[Outcome]) -> list[str]:
    """Print the errors, for which the table has no place."""
    notes = []
    if met := [outcome.in_flight for outcome in outcomes if outcome.in_flight is not None]:
        seconds = [call.seconds for call in met]
        ends = collections.Counter(call.end for call in met)
        notes.append(
            f"{what}: the call in flight ended after {shown(statistics.median_high(seconds))} /"
            f" {shown(max(seconds))}, "
            + ", ".join(f"{count} {end}" for end, count in ends.most_common())
        )
    failures = collections.Counter(outcome.failure for outcome in outcomes if outcome.failure)
    notes += [f"{what}: {count} ended in {name}" for name, count in failures.items()]
    return notes


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="failover", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="rounds of each pair (10)")
    parser.add_argument(
        "--fault", action="append", choices=FAULTS, help="only this one; may be given repeatedly"
    )
    parser.add_argument(
        "--operation", action="append", choices=OPERATIONS, help="likewise; all if none is given"
    )
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds should be 1 or more, not {options.rounds}")
    asyncio.run(
        measure(options.fault or FAULTS, options.operation or [*OPERATIONS], options.rounds)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
