"""Writes requirements/constraints.txt: the versions of all packages used in development.

python3 tools/dev.py run python tools/constraints.py             add what is missing, drop the rest
python3 tools/dev.py run python tools/constraints.py --upgrade   the newest of everything
python3 tools/dev.py run python tools/constraints.py --check     exit 1 if it is not up to date

One file serves every Python from 3.10 on, by environment markers.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from environment import CONSTRAINTS
from workspace import ROOT, packages

INPUTS = (
    "build.txt",
    "coverage.txt",
    "docs.txt",
    "release.txt",
    "repository.txt",
    "test.txt",
    "tools.txt",
    "types.txt",
    "typing.txt",
)
HEADER = "# Written by tools/constraints.py from the other files here and the packages.\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Pin what the repository is developed with.")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--upgrade", action="store_true", help="the newest of everything")
    mode.add_argument("--check", action="store_true", help="write nothing; exit 1 on a difference")
    options = parser.parse_args(arguments)
    committed = CONSTRAINTS.read_text(encoding="utf-8") if CONSTRAINTS.exists() else ""
    compiled = HEADER + compile_constraints(upgrade=options.upgrade)
    if not options.check:
        CONSTRAINTS.write_text(compiled, encoding="utf-8")
    elif compiled != committed:
        print("requirements/constraints.txt is not up to date: see tools/constraints.py")
        return 1
    return 0


def compile_constraints(*, upgrade: bool) -> str:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "constraints.txt"
        if CONSTRAINTS.exists() and not upgrade:
            # uv keeps the versions that it finds in its output file.
            shutil.copy(CONSTRAINTS, output)
        own = Path(folder) / "packages.txt"
        own.write_text("".join(f"-e {p.directory.as_uri()}\n" for p in packages().values()))
        command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.10"]
        command += ["--no-header", "--no-annotate", "--output-file", str(output), str(own)]
        command += [str(ROOT / "requirements" / name) for name in INPUTS]
        command += [f"--no-emit-package={name}" for name in packages()]
        # The result must not depend on packages that only this machine has.
        beside = {"UV_INDEX", "UV_FIND_LINKS", "UV_INDEX_STRATEGY"}
        variables = {name: value for name, value in os.environ.items() if name not in beside}
        subprocess.run(command, env=variables, check=True)
        return output.read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
