"""All benchmarks, or those that are named; see README.md beside this file."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable

import import_time
import locks
import memory
import throughput
import watches


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Measure the client against what stands beside it."
    )
    parser.add_argument(
        "benchmarks",
        nargs="*",
        metavar="BENCHMARK",
        help="throughput, memory, import, watches or locks; all if none",
    )
    parser.add_argument("--rounds", type=int, default=60, help="rounds of each client in each case")
    parser.add_argument(
        "--starts", type=int, default=3, help="how often all clients' processes are started anew"
    )
    parser.add_argument("--check", action="store_true", help="exit 1 if a target is missed")
    options = parser.parse_args()
    every: dict[str, Callable[[], list[str]]] = {
        "import": lambda: import_time.report(options.rounds),
        "memory": memory.report,
        "throughput": lambda: throughput.report(options.rounds, options.starts),
        "watches": lambda: watches.report(max(options.rounds // 6, 2)),
        "locks": lambda: locks.report(max(options.rounds // 6, 2)),
    }
    unknown = set(options.benchmarks) - every.keys()
    if unknown:
        parser.error(f"no benchmark is called {min(unknown)!r}: there are {', '.join(every)}")
    print(
        f"Python {platform.python_version()} on {platform.machine()}, {os.cpu_count()} CPUs,"
        f" load {os.getloadavg()[0]:.1f}"
    )
    missed = []
    for name, report in every.items():
        if not options.benchmarks or name in options.benchmarks:
            missed += report()
    for line in missed:
        print(f"MISSED: {line}")
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
