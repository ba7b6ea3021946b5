"""Where and with what it was measured: the machine, the versions and the date."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
import re
from pathlib import Path

from etcd_testing import binary_version, find_binary

__all__ = ["surroundings"]


def surroundings(*, quick: bool, left_out: dict[str, str]) -> dict[str, str]:
    """Facts by their names, in the order in which they are shown."""
    peers = Path(__file__).resolve().parent.parent / "requirements" / "peers"
    known = {
        "date": dt.datetime.now(dt.timezone.utc).date().isoformat(),
        "machine": f"{processor()}, {os.cpu_count()} CPUs, {memory()} of memory",
        "system": f"{platform.system()} {platform.release()} on {platform.machine()}",
        "load": f"{os.getloadavg()[0]:.1f} when it began",
        "Python": platform.python_version(),
        "grpcio": importlib.metadata.version("grpcio"),
        "protobuf": importlib.metadata.version("protobuf"),
        "etcd": f"{binary_version(find_binary('etcd'))}, on the same machine, without fsync",
        "clients": ", ".join(pinned(peers)),
    }
    if left_out:
        known["LEFT OUT"] = ", ".join(left_out)
    if quick:
        known["QUICK"] = "few rounds and small sizes: nothing to rely on"
    return known


def pinned(peers: Path) -> list[str]:
    """The peers that are measured, with the versions that are installed."""
    names = ("aetcd", "etcd3aio", "etcd-client-py")
    texts = [(peers / f"{name}.txt").read_text(encoding="utf-8") for name in names]
    found = [re.search(r"^([\w-]+)==(\S+)$", text, re.MULTILINE) for text in texts]
    return [f"{match[1]} {match[2]}" for match in found if match]


def processor() -> str:
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.exists() else ""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or "an unknown processor"


def memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
