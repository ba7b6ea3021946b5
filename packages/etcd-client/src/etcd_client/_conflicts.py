"""Warns of installed distributions that install the same files as etcd-client.

Only the names in one or two directories are read: `importlib.metadata` would take more time than
the import of this package.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Iterator

__all__ = ["problems", "warn_of_conflicts"]

_MODULES = {"aetcd": "aetcd", "etcd_client_py": "etcd_client"}
"""The module that both etcd-client and the other distribution install."""

_PREFIXES = tuple(f"{name}-" for name in _MODULES)
_SUFFIXES = (".dist-info", ".egg-info")
_REINSTALL = "pip install --force-reinstall --no-deps etcd-client"


def warn_of_conflicts() -> None:
    """Warn, at the line that imports the caller, of each such distribution and of missing files."""
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for problem in problems(own, sys.path):
        warnings.warn(problem, ImportWarning, stacklevel=3)


def problems(own: str, path: Iterable[str]) -> Iterator[str]:
    """Yield a message for each problem of etcd-client, installed in the directory `own`.

    Of the module search path `path`, only `own` and the directories before it matter: those after
    it cannot hide its modules.
    """
    complete = True
    for directory in _until(own, path):
        for name in _names(directory):
            if name.startswith(_PREFIXES) and name.endswith(_SUFFIXES):
                distribution, _, version = name.rpartition(".")[0].partition("-")
                pip_name = distribution.replace("_", "-")
                complete = False
                yield (
                    f"{pip_name} {version} is installed beside etcd-client, and both install the"
                    f" module {_MODULES[distribution]}: its files may be of either. Run `pip"
                    f" uninstall {pip_name}`, then `{_REINSTALL}`."
                )
    if (
        complete
        and os.path.isdir(own)
        and not os.path.exists(os.path.join(own, "aetcd/__init__.py"))
    ):
        yield (
            "the module aetcd of etcd-client is not complete, as after `pip uninstall aetcd`"
            f" beside it. Run `{_REINSTALL}`."
        )


def _until(own: str, path: Iterable[str]) -> Iterator[str]:
    for directory in path:
        if directory == own:
            break
        if directory.endswith(("site-packages", "dist-packages")):
            yield directory
    yield own


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
