"""Builds the sdist and the wheel of every package: `python3 tools/dev.py build` runs it.

distributions.py [DIRECTORY]   build them, and copy them into a directory (dist)

Each wheel is built from the sdist, so an sdist that lacks a file fails here. They are kept under
.cache/distributions/ and built again when a file of a package has changed. Only the standard
library is imported.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import environment
import package_index

__all__ = ["PYTHONS", "build", "main", "names", "unpack_tests", "wheels"]

ROOT = environment.ROOT
HOME = ROOT / ".cache" / "distributions"

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
"""The versions of Python that the packages are tested on, the oldest first."""


def names() -> list[str]:
    return sorted(path.parent.name for path in ROOT.glob("packages/*/pyproject.toml"))


def build() -> Path:
    """Return a directory with the sdists and the wheels of the present sources.

    Concurrent calls, of other processes too, wait for each other.
    """
    directory = HOME / digest()
    HOME.mkdir(parents=True, exist_ok=True)
    with locked(HOME / ".lock"):
        if not (directory / "complete").exists():
            for older in HOME.iterdir():
                if older.is_dir():
                    shutil.rmtree(older, ignore_errors=True)
            build_into(directory)
            (directory / "complete").touch()
    return directory


def digest() -> str:
    """A digest of what the distributions are built from."""
    told = hashlib.sha256(environment.CONSTRAINTS.read_bytes())
    for name in names():
        for path in sorted((ROOT / "packages" / name).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                told.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return told.hexdigest()[:12]


def build_into(directory: Path) -> None:
    uv = environment.ensure(environment.TOOLS) / "bin" / "uv"
    variables = environment.clean_variables()
    variables.update(package_index.for_uv(variables))
    options = (
        "--quiet",
        f"--build-constraints={environment.CONSTRAINTS}",
        f"--out-dir={directory}",
    )
    for name in names():
        package = ROOT / "packages" / name
        ended = subprocess.run([str(uv), "build", *options, str(package)], env=variables)
        if ended.returncode != 0:
            sys.exit(f"distributions.py: {name} could not be built")


def wheels(directory: Path, *packages: str) -> list[str]:
    """The wheels of some packages, of all if none is named, as pip and uv are told of them."""
    found = []
    for name in packages or names():
        (wheel,) = directory.glob(f"{name.replace('-', '_')}-*.whl")
        # The tests use etcd_testing.played.
        extra = "[played]" if name == "etcd-testing" else ""
        found.append(f"{name}{extra} @ {wheel.as_uri()}")
    return found


def unpack_tests(directory: Path, package: str, place: Path) -> Path:
    """Unpack the tests of a package's sdist; return their directory.

    They are laid out as in the repository, beside copies of its pytest.toml and conftest.py.
    """
    (sdist,) = directory.glob(f"{package.replace('-', '_')}-*.tar.gz")
    target = place / "packages" / package
    target.mkdir(parents=True)
    with tarfile.open(sdist) as archive:
        for member in archive.getmembers():
            _, _, member.name = member.name.partition("/")
            if member.name.startswith("tests/"):
                archive.extract(member, target, filter="data")
    for name in ("pytest.toml", "conftest.py"):
        shutil.copy(ROOT / name, place)
    return target / "tests"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: list[str]) -> str | None:
    match arguments:
        case []:
            target = Path("dist")
        case [name] if not name.startswith("-"):
            target = Path(name)
        case _:
            return (__doc__ or "").strip()
    os.makedirs(target, exist_ok=True)
    # An upload takes all that is there.
    if strays := sorted(path.name for path in target.iterdir()):
        return f"distributions.py: {target} is not empty: {strays[0]}"
    for path in sorted(build().glob("etcd_*")):
        shutil.copy(path, target)
        print(target / path.name)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
