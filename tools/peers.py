"""Environments with our packages and another client of etcd, or a program that uses one.

python3 tools/peers.py PEER ARGUMENTS...   run the environment's python with these arguments
python3 tools/peers.py                     the names of the peers

The environments are made as those of tools/dev.py are. Exit code 69 means that the package
index cannot be reached.
"""

from __future__ import annotations

import os
import re
import sys

import distributions
import environment
import package_index

__all__ = ["CLIENTS", "PEERS", "UNREACHABLE", "recipe"]

PEERS = tuple(sorted(path.stem for path in (environment.REQUIREMENTS / "peers").glob("*.txt")))

# `limits` is not a client: it uses aetcd, which is ours here.
CLIENTS = tuple(peer for peer in PEERS if peer != "limits")

# Of two distributions with the same package only one can be installed.
SAME_PACKAGE = {"aetcd": "aetcd", "etcd-client-py": "etcd_client"}

# sysexits.h: a service is unavailable.
UNREACHABLE = 69


def recipe(peer: str) -> environment.Recipe:
    names = ours()
    same = SAME_PACKAGE.get(peer)
    left_out = with_users(holders_of(same), names) if same is not None else set()
    return environment.Recipe(
        name=f"peer-{peer}",
        requirements=(f"peers/{peer}.txt",),
        packages=tuple(name for name in names if name not in left_out),
    )


def ours() -> list[str]:
    """All packages of the clone but etcd-testing, which needs pytest."""
    return [name for name in distributions.names() if name != "etcd-testing"]


def holders_of(module: str) -> set[str]:
    """The packages of the clone that a module is imported from."""
    return {path.parents[1].name for path in environment.ROOT.glob(f"packages/*/src/{module}")}


def with_users(wanted: set[str], names: list[str]) -> set[str]:
    """These packages, and those that require one of them, directly or not."""
    pins = {
        name: set(re.findall(r'^ +"([\w-]+)==', pyproject(name), re.MULTILINE)) for name in names
    }
    while more := {name for name in names if pins[name] & wanted} - wanted:
        wanted = wanted | more
    return wanted


def pyproject(name: str) -> str:
    """Its text; Python has no TOML parser before 3.11, and nothing is installed here."""
    return (environment.ROOT / "packages" / name / "pyproject.toml").read_text(encoding="utf-8")


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
