"""Runs mypy and pyright on programs, as a user would who has installed the packages."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["HERE", "PROGRAMS", "Complaint", "by_mypy", "by_pyright", "readme_programs"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROGRAMS = sorted((HERE / "programs").glob("*.py"))

TIMEOUT = 300.0
"""Seconds after which a checker counts as hanging; alone it takes five."""

_MYPY_LINE = re.compile(
    r"(?P<file>[^:]+):(?P<line>\d+):\d+: (?P<kind>error|note): (?P<text>.*?)"
    r"(?:  \[(?P<code>[\w-]+)\])?"
)

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Complaint:
    """A message of a checker about a line; a note has no code."""

    file: str
    line: int
    code: str | None
    text: str


def readme_programs() -> dict[str, str]:
    """The blocks of the READMEs that are whole programs, each by a name for its file.

    Without those that handle messages of protobuf, whose stubs a user of them has to install.
    """
    return {
        f"readme_{path.parent.relative_to(ROOT).name}_{number}.py".replace("-", "_"): block
        for path in [ROOT / "README.md", *sorted(ROOT.glob("packages/*/README.md"))]
        for number, block in enumerate(_BLOCK.findall(path.read_text(encoding="utf-8")))
        if "asyncio.run(" in block and "from google.protobuf" not in block
    }


def by_mypy(folder: Path) -> list[Complaint]:
    """Check all files of a folder by `mypy --strict`."""
    strict = ["--strict", "--disallow-any-expr", "--config-file=", "--show-column-numbers"]
    looks = ["--no-error-summary", "--no-pretty", "--no-color-output"]
    ended = _run(
        *(sys.executable, "-m", "mypy", *strict, *looks, "--cache-dir", f"{folder}/cache"),
        *sorted(path.name for path in folder.glob("*.py")),
        folder=folder,
    )
    assert ended.returncode in (0, 1), ended.stdout + ended.stderr
    found = [_MYPY_LINE.fullmatch(line) for line in ended.stdout.splitlines()]
    return [
        Complaint(
            Path(match["file"]).name,
            int(match["line"]),
            match["code"] if match["kind"] == "error" else None,
            match["text"],
        )
        for match in found
        if match is not None
    ]


def by_pyright(folder: Path) -> list[Complaint]:
    """Check all files of a folder by pyright at its strictest, Any included."""
    settings = {"typeCheckingMode": "strict", "reportAny": "error"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    program = Path(sys.executable).with_name("basedpyright")
    options = ("--outputjson", "--pythonpath", sys.executable, "--project", folder)
    ended = _run(program, *options, folder=folder)
    assert ended.returncode in (0, 1), ended.stdout + ended.stderr
    return [
        Complaint(
            Path(one["file"]).name,
            one["range"]["start"]["line"] + 1,
            one["rule"] if one["severity"] == "error" else None,
            one["message"],
        )
        for one in json.loads(ended.stdout)["generalDiagnostics"]
    ]


def _run(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    # Neither may find the sources of the packages beside those that are installed.
    lead_out = ("MYPYPATH", "PYTHONPATH")
    variables = {name: value for name, value in os.environ.items() if name not in lead_out}
    parts = [str(part) for part in command]
    return subprocess.run(
        parts, cwd=folder, env=variables, capture_output=True, text=True, timeout=TIMEOUT
    )
