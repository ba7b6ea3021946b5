"""What etcd and etcdctl find in their environment."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence

__all__ = ["etcdctl_environment", "program_environment"]

_GO_ARCHITECTURES = {"aarch64": "arm64"}


def program_environment(added: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what etcd would take for its flags, and with `added`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ETCD")}
    machine = platform.machine()
    if machine != "x86_64":
        # Without it etcd 3.4 refuses to run on arm64; later ones do not mind.
        environment["ETCD_UNSUPPORTED_ARCH"] = _GO_ARCHITECTURES.get(machine, machine)
    return {**environment, **added}


def etcdctl_environment(
    environment: Mapping[str, str], flags: Mapping[str, str | None], args: Sequence[str]
) -> dict[str, str]:
    """An environment that sets flags of etcdctl, but for those that `args` set themselves.

    etcdctl refuses a flag that is in both. Not all as flags, for a password that is in the
    environment is seen by nobody who lists processes.
    """
    flagged = {arg[2:].partition("=")[0] for arg in args if arg.startswith("--")}
    variables = {
        f"ETCDCTL_{flag.upper()}": value
        for flag, value in flags.items()
        if value and flag not in flagged
    }
    return {**environment, "ETCDCTL_API": "3", **variables}
