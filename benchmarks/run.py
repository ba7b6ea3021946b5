"""All benchmarks, or those that are named; see README.md beside this file."""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import caches
import failover
import import_time
import leases
import locks
import many_keys
import memory
import page
import replay
import scans
import stm
import sync_calls
import throughput
import watches
from findings import Outcome
from go_client import find_go
from settings import Settings, available_peers
from surroundings import surroundings

ROOT = Path(__file__).resolve().parent.parent
SUITE = "sid"
"""The suite of Debian whose etcd is measured, see tools/etcd.py."""

SCENARIOS: dict[str, Callable[[Settings], Outcome]] = {
    "throughput": lambda settings: asyncio.run(throughput.measure(settings)),
    "sync": lambda settings: asyncio.run(sync_calls.measure(settings)),
    "bulk": lambda settings: asyncio.run(many_keys.measure(settings)),
    "scans": lambda settings: asyncio.run(scans.measure(settings)),
    "caches": lambda settings: asyncio.run(caches.measure(settings)),
    "stm": lambda settings: asyncio.run(stm.measure(settings)),
    "replay": lambda settings: asyncio.run(replay.measure(settings)),
    "watches": lambda settings: asyncio.run(watches.measure(settings)),
    "leases": lambda settings: asyncio.run(leases.measure(settings)),
    "locks": lambda settings: asyncio.run(locks.measure(settings)),
    "memory": lambda settings: asyncio.run(memory.measure(settings)),
    "import": import_time.measure,
}


def main() -> int:
    if sys.argv[1:2] == ["failover"]:
        # It takes long, has no target and takes other arguments.
        return failover.main(sys.argv[2:])
    options = arguments()
    if options.draw:
        page.draw(list(SCENARIOS))
        return 0
    choose_etcd()
    settings, left_out = prepare(options)
    facts = surroundings(quick=options.quick, left_out=left_out)
    for name, value in facts.items():
        print(f"{name}: {value}")
    missed: list[str] = []
    failed: list[str] = []
    chosen = [name for name in SCENARIOS if name in (options.scenarios or SCENARIOS)]
    for number, name in enumerate(chosen, 1):
        print(f"\n[{number}/{len(chosen)}] {name} …", flush=True)
        began = time.monotonic()
        try:
            outcome = SCENARIOS[name](settings)
        except Exception:
            traceback.print_exc()
            failed.append(name)
            continue
        show(outcome, time.monotonic() - began)
        missed += [str(found) for found in outcome.findings if found.missed]
        if options.write:
            page.keep({name: outcome}, facts)
            page.draw(list(SCENARIOS))
    return conclude(missed, failed, left_out, check=options.check)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measure the client beside other clients, in the same run."
    )
    parser.add_argument(
        "scenarios",
        nargs="*",
        metavar="SCENARIO",
        help=f"{', '.join(SCENARIOS)}; all if none. `failover …` is a program of its own, see"
        " `failover --help`",
    )
    parser.add_argument(
        "--quick", action="store_true", help="few rounds and small sizes, to see that it works"
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument(
        "--write",
        action="store_true",
        help="write the results into docs/performance.md, docs/img/bench and results.json",
    )
    parser.add_argument(
        "--draw", action="store_true", help="only write them anew from results.json"
    )
    parser.add_argument(
        "--gobench", metavar="PROGRAM", help="the program that runs Go's client (GOBENCH)"
    )
    options = parser.parse_args()
    if unknown := set(options.scenarios) - SCENARIOS.keys():
        parser.error(f"no scenario is called {min(unknown)!r}: there are {', '.join(SCENARIOS)}")
    return options


def choose_etcd() -> None:
    """Use the etcd of Debian's suite, unless ETCD_BIN_DIR names one or it cannot be fetched."""
    if "ETCD_BIN_DIR" in os.environ:
        return
    tool = [sys.executable, str(ROOT / "tools" / "etcd.py"), SUITE]
    fetched = subprocess.run(tool, stdout=subprocess.PIPE, text=True)
    if fetched.returncode == 0:
        os.environ["ETCD_BIN_DIR"] = fetched.stdout.split(maxsplit=1)[1].strip()
    else:
        print("THE NEWEST ETCD CANNOT BE FETCHED: THE EMBEDDED ONE IS MEASURED")


def prepare(options: argparse.Namespace) -> tuple[Settings, dict[str, str]]:
    """Make the environments of the other clients; return the settings, and who is left out."""
    print("Preparing the other clients …", flush=True)
    peers, left_out = available_peers()
    go = find_go(options.gobench)
    if isinstance(go, str):
        left_out["Go's clientv3"] = go
    for name, reason in left_out.items():
        print(f"{name.upper()} IS LEFT OUT: {reason}", flush=True)
    return Settings(options.quick, peers, None if isinstance(go, str) else go), left_out


def show(outcome: Outcome, seconds: float) -> None:
    print(f"{outcome.title} ({seconds:.0f} s)")
    case = ""
    for rate in outcome.rates:
        if rate.case != case:
            case = rate.case
            print(f"  {case}")
        print(f"    {rate.client:18} {rate}")
    for found in outcome.findings:
        print(f"  {found}", flush=True)


def conclude(missed: list[str], failed: list[str], left_out: dict[str, str], *, check: bool) -> int:
    print()
    for line in missed:
        print(f"MISSED: {line}")
    for name in failed:
        print(f"FAILED: {name}")
    for name in left_out:
        print(f"LEFT OUT: {name.upper()}")
    if failed:
        return 2
    return 1 if missed and check else 0


if __name__ == "__main__":
    sys.exit(main())
