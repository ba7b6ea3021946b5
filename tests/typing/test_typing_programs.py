"""Typed programs of users run and print the expected output."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))

SAYS = {
    "bulk_import": """
        1 member, some bytes
        13 transactions
        []
        1234 0 ['value 1233', 'value 1232'] True
        True True
        RevisionCompactedError True
        1234 None
    """,
    "discovery": """
        {}
        {'one': '10.0.0.1:80'}
        one is registered already: 10.0.0.1:80
        {}
        the lease has ended
    """,
    "election": """
        True True
        first
        first, again
        False
        first, again
        resigned True
        second
        the first one cannot proclaim any more
        True
        lost: LeaseExpiredError
    """,
    "synchronous": """
        2 [b'COLOUR', b'LIMIT']
        False None True
        [1, 2, 3]
        True
        LockTimeoutError
        b'sweep'
        limit 2
    """,
    "work_queue": """
        job-5
        job-0 job-1 job-2 job-3 job-4
        late
    """,
}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_runs(program: Path, etcd_endpoint: str, key_prefix: bytes) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", program, etcd_endpoint, key_prefix.decode()],
        capture_output=True,
        text=True,
        timeout=100,
    )
    said = [line.strip() for line in SAYS[program.stem].strip().splitlines()]
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == said
