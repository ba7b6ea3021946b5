"""Checks types by `mypy --strict`: `python3 tools/dev.py types`.

types             each package in a run of its own, and everything outside the packages in another
types --outside   everything outside the packages
types PATH ...    what is named, in one run; other arguments of mypy may be among them

The settings are in mypy.ini. The exit code is 1 if one of the runs found an error.
"""

from __future__ import annotations

import subprocess
import sys

from workspace import ROOT, packages

__all__ = ["main", "runs"]

OUTSIDE = ("conftest.py", "tools", "tests", "examples", "benchmarks")


def main(arguments: list[str]) -> int:
    if arguments in (["-h"], ["--help"]):
        print((__doc__ or "").strip())
        return 0
    failed = False
    for number, run in enumerate(wanted := runs(arguments)):
        if len(wanted) > 1:
            print(f"{number + 1}/{len(wanted)} {' '.join(run)}", flush=True)
        # The paths that are named are relative to the current directory.
        place = None if run == arguments else ROOT
        command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "mypy.ini"), *run]
        failed |= subprocess.run(command, cwd=place).returncode != 0
    return 1 if failed else 0


def runs(arguments: list[str]) -> list[list[str]]:
    """The arguments of each run of mypy.

    The conftest.py of two packages have one name: they cannot be in one run.
    """
    match arguments:
        case []:
            of_packages = [[f"packages/{one.directory.name}"] for one in packages().values()]
            return [*of_packages, [*OUTSIDE]]
        case ["--outside"]:
            return [[*OUTSIDE]]
        case _:
            return [arguments]


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
