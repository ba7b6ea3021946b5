"""The time to import the client, relative to that of gRPC and protobuf, which it needs."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

from findings import Finding, Outcome, Rate
from settings import Settings
from spread import ratios

__all__ = ["measure"]

# What any module that protoc generated imports.
BASE = (
    "import grpc.aio; from google.protobuf import descriptor, descriptor_pool, symbol_database;"
    " from google.protobuf.internal import builder"
)
OURS = "import etcd_kv"
MOST = 1.2
ROUNDS = 24

PROGRAM = "import time; begun = time.perf_counter(); {}; print(time.perf_counter() - begun)"


def seconds(statement: str, compiled: str) -> float:
    """The time of an import in a new interpreter, with all modules compiled."""
    variables = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", PROGRAM.format(statement)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, env=variables)
    return float(ended.stdout)


def measure(settings: Settings) -> Outcome:
    with tempfile.TemporaryDirectory() as compiled:
        for statement in (BASE, OURS):
            # The first time compiles and reads from the disk.
            seconds(statement, compiled)
        pairs = [
            (seconds(OURS, compiled), seconds(BASE, compiled))
            for _ in range(settings.either(ROUNDS, 3))
        ]
    ours, base = zip(*pairs, strict=True)
    case = "import"
    found = Outcome(
        "Import",
        "`import etcd_kv`, by importing `grpc.aio` and of protobuf what any generated module"
        " imports, in fresh interpreters by turns, all modules compiled.",
    )
    found.rates += [
        Rate(case, "etcd_kv", statistics.median(ours) * 1e3, "ms"),
        Rate(case, "grpc.aio and protobuf", statistics.median(base) * 1e3, "ms"),
    ]
    ratio = ratios(ours, base)
    found.findings.append(Finding(case, "etcd_kv / grpc.aio and protobuf", ratio, at_most=MOST))
    return found
