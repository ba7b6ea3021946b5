"""What `python3 tools/dev.py` can do."""

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


def main(arguments: list[str], *, usage: str) -> str | None:
    """Runs one command, by becoming its process; what is returned is a complaint."""
    match arguments:
        case ["demo", *rest]:
            if not TOUR.exists():
                return f"dev.py: there is no {TOUR.relative_to(ROOT)} in this clone"
            become(environment.TESTS, "python", [str(TOUR), *rest])
        case ["test", *rest]:
            enter_clone()
            become(environment.TESTS, "python", ["-m", "pytest", *rest])
        case ["bench", *rest]:
            become(environment.TESTS, "python", [str(BENCHMARKS), *rest])
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
    """In the clone the current directory says what pytest collects; from elsewhere it is all."""
    if not Path.cwd().resolve().is_relative_to(ROOT):
        os.chdir(ROOT)


def become(recipe: environment.Recipe, command: str, arguments: list[str]) -> NoReturn:
    """Replaces this process by a command of the environment: its signals and exit code are ours."""
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
