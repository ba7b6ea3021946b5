"""What importing the client costs, by that of what it cannot do without, gRPC and protobuf."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from spread import spread

__all__ = ["report"]

# What any module that protoc generated imports.
BASE = (
    "import grpc.aio; from google.protobuf import descriptor, descriptor_pool, symbol_database;"
    " from google.protobuf.internal import builder"
)
OURS = "import etcd_kv"
MOST = 1.2

PROGRAM = "import time; begun = time.perf_counter(); {}; print(time.perf_counter() - begun)"


def seconds(statement: str, compiled: str) -> float:
    """The time of an import in a fresh interpreter that has all modules compiled."""
    variables = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", PROGRAM.format(statement)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, env=variables)
    return float(ended.stdout)


def report(rounds: int) -> list[str]:
    """Print what was measured, and return which targets were missed."""
    with tempfile.TemporaryDirectory() as compiled:
        for statement in (BASE, OURS):
            # The first time compiles and reads from the disk.
            seconds(statement, compiled)
        pairs = [(seconds(OURS, compiled), seconds(BASE, compiled)) for _ in range(rounds)]
    ours, base = zip(*pairs, strict=True)
    ratio = spread(one / other for one, other in pairs)
    print(f"\nimport, {rounds} rounds")
    print(f"  etcd_kv             {spread(x * 1000 for x in ours):6.1f} ms")
    print(f"  grpc.aio + protobuf {spread(x * 1000 for x in base):6.1f} ms")
    print(f"  etcd_kv / grpc.aio + protobuf {ratio:.3f}   (at most {MOST:.2f})")
    return [] if ratio.median <= MOST else [f"import: {ratio:.3f}"]
