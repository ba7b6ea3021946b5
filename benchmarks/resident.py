"""The resident memory of this process.

`ru_maxrss` is not used: it begins with the peak of the process that started this one.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["highest", "resident"]


def resident() -> int:
    """The bytes of now."""
    return status("VmRSS")


def highest() -> int:
    """The bytes at the peak."""
    return status("VmHWM")


def status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024
