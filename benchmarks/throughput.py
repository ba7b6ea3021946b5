"""Calls per second of several clients, in one run, in alternation, against one etcd.

The rounds of the clients alternate, and each ratio is that of neighbouring rounds, so that a slow
phase of the machine affects both. The order changes from round to round.
"""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from findings import Finding, Line, Outcome, Plot, Rate
from go_client import GoClient
from settings import PEERS, Settings, command_of, say
from spread import ratios
from workers import started

from etcd_testing import EtcdServer

__all__ = ["measure"]

WORKER = Path(__file__).with_name("worker.py")
OURS, COALESCED, BARE, GO = "ours", "ours, coalesced", "grpc.aio", "Go"
# They share a process and an event loop: this client is compared with the bare call in the same.
TOGETHER = (BARE, OURS, COALESCED)
IN_FLIGHT = (1, 8, 64, 512)
CASES = [(operation, in_flight) for operation in ("get", "put") for in_flight in IN_FLIGHT]
ROUND_SECONDS = 0.06
ROUNDS, STARTS = 24, 3

Rates = dict[str, list[float]]
"""The calls per second of each client, in the order of the rounds."""


class Calls(Protocol):
    """What makes calls and returns the seconds that they took."""

    async def work(self, client: str, operation: str, in_flight: int, calls: int) -> float: ...


@dataclass(frozen=True)
class GoCalls:
    """Go's client, in a new process for each round."""

    go: GoClient
    endpoint: str

    async def work(self, client: str, operation: str, in_flight: int, calls: int) -> float:
        return (await self.go.run(self.endpoint, operation, calls, in_flight)).seconds


def goals(in_flight: int) -> list[tuple[str, str, float | None]]:
    """(client, what it is compared with, the lowest allowed ratio)"""
    single: dict[int, list[tuple[str, str, float | None]]] = {
        1: [*((OURS, peer, 1.0) for peer in PEERS), (COALESCED, OURS, 0.95)],
        64: [
            *((OURS, peer, 1.0) for peer in PEERS),
            (OURS, GO, None),
            (COALESCED, BARE, 4.0),
            (COALESCED, GO, 2.0),
        ],
        512: [(COALESCED, BARE, 8.0), (COALESCED, GO, 4.0)],
    }
    least = 0.95 if in_flight in {1, 64} else None
    return [(OURS, BARE, least), *single.get(in_flight, [])]


@asynccontextmanager
async def all_clients(settings: Settings, endpoint: str) -> AsyncIterator[dict[str, Calls]]:
    """Start the processes of all clients."""
    processes: dict[tuple[str, ...], tuple[str, ...]] = {TOGETHER: (sys.executable,)}
    processes.update({(peer,): command_of(peer) for peer in settings.peers})
    async with AsyncExitStack() as stack:
        clients: dict[str, Calls] = {}
        for names, command in processes.items():
            worker = await stack.enter_async_context(
                started(*command, str(WORKER), endpoint, *names)
            )
            clients.update(dict.fromkeys(names, worker))
        if settings.go is not None:
            clients[GO] = GoCalls(settings.go, endpoint)
        yield clients


async def measure(settings: Settings) -> Outcome:
    """Measure all cases in several sets of new processes, as speed differs between processes."""
    rounds, starts = settings.either(ROUNDS, 2), settings.either(STARTS, 1)
    results: dict[tuple[str, int], Rates] = {case: defaultdict(list) for case in CASES}
    async with EtcdServer() as server:
        for start in range(starts):
            say(f"get and put, processes {start + 1} of {starts}")
            async with all_clients(settings, server.endpoint) as clients:
                # So that there is something to get.
                await clients[OURS].work(OURS, "put", 8, 1000)
                for case in CASES:
                    await measure_case(case, clients, rounds // starts, results[case])
    return outcome(results)


async def measure_case(
    case: tuple[str, int], clients: Mapping[str, Calls], rounds: int, rates: Rates
) -> None:
    operation, in_flight = case
    calls = {client: await calls_in_a_round(case, client, clients) for client in clients}
    order = list(clients)
    for number in range(rounds):
        turn = number % len(order)
        for client in order[turn:] + order[:turn]:
            seconds = await clients[client].work(client, operation, in_flight, calls[client])
            rates[client].append(calls[client] / seconds)


async def calls_in_a_round(case: tuple[str, int], client: str, clients: Mapping[str, Calls]) -> int:
    """How many calls take about `ROUND_SECONDS`; measuring it warms everything up."""
    operation, in_flight = case
    few = 4 * in_flight + 16
    seconds = min([await clients[client].work(client, operation, in_flight, few) for _ in range(3)])
    return max(2, round(ROUND_SECONDS / seconds * few / in_flight)) * in_flight


def outcome(results: Mapping[tuple[str, int], Rates]) -> Outcome:
    found = Outcome(
        "Calls",
        "`get` and `put` of 64 bytes, by the number of calls in flight; calls per second."
        " `grpc.aio` is gRPC's own call with the same messages: nothing is wrapped, checked or"
        " converted.",
    )
    for (operation, in_flight), rates in results.items():
        case = f"{operation}, {in_flight} in flight"
        for client, each in rates.items():
            found.rates.append(Rate(case, client, statistics.median(each), "/s"))
        for client, other, least in goals(in_flight):
            if client in rates and other in rates:
                value = ratios(rates[client], rates[other])
                found.findings.append(Finding(case, f"{client} / {other}", value, at_least=least))
    found.plots = [plot(operation, results) for operation in ("get", "put")]
    return found


def plot(operation: str, results: Mapping[tuple[str, int], Rates]) -> Plot:
    clients = sorted(results[operation, 1], key=lambda name: (not name.startswith("ours"), name))
    return Plot(
        operation,
        f"{operation} of 64 bytes",
        "calls in flight",
        "calls per second",
        [
            Line(
                client,
                [
                    (in_flight, statistics.median(results[operation, in_flight][client]))
                    for in_flight in IN_FLIGHT
                ],
            )
            for client in clients
        ],
        f"Calls of {operation} per second, with 1 to 512 in flight, by each client",
    )
