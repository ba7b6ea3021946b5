"""What the scenarios are run with: how long, and beside which other clients."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from go_client import GoClient

__all__ = ["OURS", "PEERS", "Settings", "available_peers", "command_of", "say"]

TOOL = Path(__file__).resolve().parent.parent / "tools" / "peers.py"
OURS = "ours"
PEERS = ("aetcd", "etcd3aio", "etcd-client-py")


@dataclass(frozen=True)
class Settings:
    """How long to measure, and beside which clients."""

    quick: bool
    peers: tuple[str, ...]
    """Those whose environment could be made."""
    go: GoClient | None

    def either(self, whole: int, quick: int) -> int:
        """A number of rounds or keys, by whether this is a quick run."""
        return quick if self.quick else whole

    @property
    def sides(self) -> tuple[str, ...]:
        """This client, and aetcd if it is available: they have the same documented API."""
        return (OURS, *(peer for peer in self.peers if peer == "aetcd"))


def command_of(client: str) -> tuple[str, ...]:
    """The command that starts the Python of a client's environment."""
    return (sys.executable,) if client == OURS else (sys.executable, str(TOOL), client)


def available_peers() -> tuple[tuple[str, ...], dict[str, str]]:
    """Make the environments of the peers; return those that were made, and why others were not."""
    made, left_out = [], {}
    for peer in PEERS:
        ended = subprocess.run([*command_of(peer), "-c", ""], capture_output=True, text=True)
        if ended.returncode == 0:
            made.append(peer)
        else:
            left_out[peer] = (ended.stderr.strip().splitlines() or ["it cannot be installed"])[-1]
    return tuple(made), left_out


def say(step: str) -> None:
    """Tell what is measured now."""
    print(f"  … {step}", flush=True)
