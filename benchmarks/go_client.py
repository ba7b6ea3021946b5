"""Go's clientv3, run by a program outside of the repository.

It is called `PROGRAM ENDPOINT CASE N IN_FLIGHT`, with the case `get`, `put`, `txn`, `range`,
`watch` or `mutex`, and prints one line with `<n> /s, <n> s, <n> us of cpu each`.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["GoClient", "Took", "find_go"]

ROOT = Path(__file__).resolve().parent.parent
BESIDE = ROOT.parent / "shared" / "tools" / "gobench" / "gobench"
LIMIT = 120.0
"""Seconds that one case may take."""


@dataclass(frozen=True)
class Took:
    """What a case took: seconds in all, and processor seconds for each of its parts."""

    seconds: float
    processor: float


@dataclass(frozen=True)
class GoClient:
    """The program that runs Go's client."""

    program: Path

    async def run(self, endpoint: str, case: str, count: int, in_flight: int = 1) -> Took:
        """Run a case in a new process; its connecting is not part of the time."""
        words = [str(self.program), endpoint, case, str(count), str(in_flight)]
        process = await asyncio.create_subprocess_exec(
            *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            said, complaint = await asyncio.wait_for(process.communicate(), LIMIT)
        except BaseException:
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise
        found = re.search(rb"([\d.]+) s, ([\d.]+) us of cpu each", said)
        if process.returncode != 0 or found is None:
            raise RuntimeError(f"{' '.join(words)} failed: {(said + complaint).decode().strip()}")
        return Took(float(found[1]), float(found[2]) / 1e6)


def find_go(named: str | None) -> GoClient | str:
    """Return Go's client, or why there is none.

    The program is the one that is named, else that of the variable GOBENCH, else the one in
    ../shared/tools beside the clone. The first call lets it build itself.
    """
    program = Path(named or os.environ.get("GOBENCH") or BESIDE)
    if not program.exists():
        return f"there is no {program} (--gobench or GOBENCH name another)"
    # Without arguments it only builds itself, and ends with an error.
    built = subprocess.run([program], capture_output=True, text=True, timeout=600)
    if built.returncode in {77, 126, 127}:
        return built.stderr.strip() or f"{program} cannot be run here"
    return GoClient(program)
