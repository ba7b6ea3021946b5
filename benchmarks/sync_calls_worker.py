"""A process that makes calls with the synchronous client in threads, driven over stdin and stdout.

python sync_calls_worker.py ENDPOINT

Each line of stdin is a round: `CLIENT OPERATION THREADS CALLS`. The answer is one line, the seconds
that the calls took.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable

import etcd_sync

# Calls that are in flight together have keys of their own.
KEYS = [b"benchmark/%d" % number for number in range(1000)]
VALUE = b"v" * 64


def measured(operation: Callable[[bytes], object], threads: int, calls: int) -> float:
    """Return the seconds that `calls` calls take, by so many threads."""
    todo = iter(range(calls))
    begin = threading.Barrier(threads + 1)

    def some() -> None:
        begin.wait()
        for number in todo:
            operation(KEYS[number % 1000])

    workers = [threading.Thread(target=some) for _ in range(threads)]
    for worker in workers:
        worker.start()
    # Garbage of the round before is not collected in this one.
    gc.collect()
    begin.wait()
    begun = time.perf_counter()
    for worker in workers:
        worker.join()
    return time.perf_counter() - begun


def main(endpoint: str) -> None:
    with etcd_sync.Client(endpoints=endpoint) as client:
        operations: dict[str, Callable[[bytes], object]] = {
            "get": client.get,
            "put": lambda key: client.put(key, VALUE),
        }
        for line in sys.stdin:
            _, operation, threads, calls = line.strip().split("\t")
            print(measured(operations[operation], int(threads), int(calls)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
