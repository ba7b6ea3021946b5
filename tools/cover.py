"""Runs the tests and reports how much of the packages they reach: `python3 tools/dev.py cover`.

The arguments are pytest's. The settings are in .coveragerc. The exit code is that of the
tests; the report is printed also if some of them failed.
"""

from __future__ import annotations

import subprocess
import sys

from workspace import ROOT

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    coverage("erase")
    tests = coverage("run", "-m", "pytest", *arguments)
    # Each process writes a file of its own.
    coverage("combine", "--quiet")
    coverage("report", "--skip-covered", "--show-missing")
    return tests


def coverage(*arguments: str) -> int:
    """Run a command of coverage in this environment, and return its exit code."""
    return subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=ROOT).returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
