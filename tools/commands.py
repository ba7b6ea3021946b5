"""The commands of `python3 tools/dev.py`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import environment
import package_index

__all__ = ["main"]

ROOT = environment.ROOT
TOUR = ROOT / "examples" / "tour.py"
BENCHMARKS = ROOT / "benchmarks" / "run.py"
CHECK_TYPES = ROOT / "tools" / "check_types.py"
COVER = ROOT / "tools" / "cover.py"
DOCS = ROOT / "tools" / "docs.py"
FAULTS = ROOT / "tests" / "faults" / "fault_programme.py"
NEW_PACKAGE = ROOT / "tools" / "new_package.py"
RELEASING = {
    "build": ROOT / "tools" / "distributions.py",
    "matrix": ROOT / "tools" / "matrix.py",
    "release": ROOT / "tools" / "versions.py",
}


def main(arguments: list[str], *, usage: str) -> str | None:
    """Replace this process by a command; return an error message if there is no such command."""
    match arguments:
        case ["demo", *rest]:
            if not TOUR.exists():
                return f"dev.py: there is no {TOUR.relative_to(ROOT)} in this clone"
            become(environment.TESTS, "python", [str(TOUR), *rest])
        case ["test", *rest]:
            enter_clone()
            become(environment.TESTS, "python", ["-m", "pytest", *rest])
        case ["cover", *rest]:
            become(environment.COVERAGE, "python", [str(COVER), *rest])
        case ["types", *rest]:
            become(environment.TYPES, "python", [str(CHECK_TYPES), *rest])
        case ["bench", *rest]:
            become(environment.TESTS, "python", [str(BENCHMARKS), *rest])
        case ["faults", *rest]:
            become(environment.TESTS, "python", [str(FAULTS), *rest])
        case ["docs", *rest]:
            become(environment.DOCS, "python", [str(DOCS), *rest])
        case ["new-package", *rest]:
            become(environment.TOOLS, "python", [str(NEW_PACKAGE), *rest])
        case ["build" | "matrix" | "release" as name, *rest]:
            become(environment.TOOLS, "python", [str(RELEASING[name]), *rest])
        case ["run", command, *rest]:
            become(environment.TOOLS, command, rest)
        case ["run"]:
            return "dev.py: run needs a command"
        case [] | ["-h" | "--help" | "help"]:
            print(usage.strip())
            return None
        case [other, *_]:
            return f"dev.py: {other!r} is no command\n\n{usage.strip()}"
    raise AssertionError("unreachable: become() does not return")


def enter_clone() -> None:
    """Change to the clone, unless the current directory, from which pytest collects, is in it."""
    if not Path.cwd().resolve().is_relative_to(ROOT):
        os.chdir(ROOT)


def become(recipe: environment.Recipe, command: str, arguments: list[str]) -> NoReturn:
    """Replace this process by a command of an environment, which gets the signals sent to it."""
    directory = environment.ensure(recipe)
    variables = environment.clean_variables()
    if recipe is environment.TOOLS:
        variables.update(package_index.for_uv(variables))
        path = variables.get("PATH", os.defpath)
        variables["PATH"] = f"{directory / 'bin'}{os.pathsep}{path}"
    sys.stdout.flush()
    sys.stderr.flush()
    own = directory / "bin" / command
    try:
        if own.exists():
            os.execve(own, [str(own), *arguments], variables)
        os.execvpe(command, [command, *arguments], variables)
    except OSError as error:
        sys.exit(f"dev.py: {command}: {error.strerror}")
