"""Other clients of etcd, each in an environment of its own beside our packages.

python3 tools/peers.py PEER ARGUMENTS...   run the environment's python with these arguments
python3 tools/peers.py                     the names of the peers

The environments are made as those of tools/dev.py are. Exit code 69 says that the package index is
out of reach.
"""

from __future__ import annotations

import os
import sys

import environment
import package_index

__all__ = ["PEERS", "UNREACHABLE", "recipe"]

PEERS = tuple(sorted(path.stem for path in (environment.REQUIREMENTS / "peers").glob("*.txt")))

# sysexits.h: a service is unavailable.
UNREACHABLE = 69


SERVICES = (
    "etcd-auth",
    "etcd-channel",
    "etcd-cluster",
    "etcd-kv",
    "etcd-lease",
    "etcd-lock",
    "etcd-watch",
)


def recipe(peer: str) -> environment.Recipe:
    # Of two distributions with a package `aetcd` only one can be installed.
    whole = () if peer == "aetcd" else ("etcd-client",)
    return environment.Recipe(
        name=f"peer-{peer}",
        requirements=(f"peers/{peer}.txt",),
        packages=SERVICES + whole,
    )


def main(arguments: list[str]) -> str | int | None:
    if not arguments:
        print("\n".join(PEERS))
        return None
    peer, *rest = arguments
    if peer not in PEERS:
        return f"peers.py: {peer!r} is no peer: {', '.join(PEERS)}"
    try:
        directory = environment.ensure(recipe(peer))
    except SystemExit as complaint:
        if package_index.is_reachable():
            raise
        print(complaint, file=sys.stderr)
        return UNREACHABLE
    python = environment.python_of(directory)
    os.execve(python, [str(python), *rest], environment.clean_variables())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
