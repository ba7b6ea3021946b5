"""The environment variables of etcd and etcdctl, and flags that cannot be variables."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence

__all__ = ["ETCDCTL_FLAGS", "etcdctl_environment", "program_environment"]

ETCDCTL_FLAGS = ("--command-timeout=25s", "--dial-timeout=25s", "--keepalive-timeout=25s")
"""Flags that let etcdctl wait for a busy machine; its defaults are 5, 2 and 6 seconds.

They are shorter than the timeout of `EtcdServer.etcdctl`, so that it still says what failed. Flags
of the caller come later and override them. They are no variables, because etcdctl ignores
ETCDCTL_COMMAND_TIMEOUT. etcdutl does not have them.
"""

_GO_ARCHITECTURES = {"aarch64": "arm64"}


def program_environment(added: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without etcd's flags (ETCD…), and with `added`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ETCD")}
    machine = platform.machine()
    if machine != "x86_64":
        # etcd 3.4 does not run on arm64 without it.
        environment["ETCD_UNSUPPORTED_ARCH"] = _GO_ARCHITECTURES.get(machine, machine)
    return {**environment, **added}


def etcdctl_environment(
    environment: Mapping[str, str], flags: Mapping[str, str | None], args: Sequence[str]
) -> dict[str, str]:
    """Return an environment that sets flags of etcdctl, except those that `args` set.

    etcdctl refuses a flag that is in both. The environment is used because a list of
    processes shows flags, and so a password among them.
    """
    flagged = {arg[2:].partition("=")[0] for arg in args if arg.startswith("--")}
    variables = {
        f"ETCDCTL_{flag.upper()}": value
        for flag, value in flags.items()
        if value and flag not in flagged
    }
    return {**environment, "ETCDCTL_API": "3", **variables}
