"""The packages of this repository, as their own pyproject.toml files describe them.

python tools/workspace.py              the names of all, each after those that it needs
python tools/workspace.py NAME         the directories of a package and of the siblings it needs
python tools/workspace.py --floors     the oldest grpcio and protobuf that the packages declare
"""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli

__all__ = [
    "ROOT",
    "TESTING",
    "Package",
    "closure",
    "floors",
    "packages",
    "read_toml",
    "requirement_name",
    "tracked_files",
]

ROOT = Path(__file__).resolve().parent.parent

TESTING = "etcd-testing"
"""The distribution that the tests of every package need."""


@dataclass(frozen=True)
class Package:
    """One distribution of the repository."""

    name: str
    version: str
    description: str
    directory: Path
    requirements: tuple[str, ...]
    extras: tuple[str, ...]
    """The requirements of its extras, all together."""
    imports: tuple[Path, ...]
    """The import packages that its wheel holds."""

    @property
    def dependencies(self) -> tuple[str, ...]:
        """The names of its requirements, siblings and others."""
        return tuple(requirement_name(requirement) for requirement in self.requirements)


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomli.loads(path.read_text(encoding="utf-8"))
    except tomli.TOMLDecodeError as error:
        raise SystemExit(f"{path.relative_to(ROOT)} is no TOML: {error}") from error


def requirement_name(requirement: str) -> str:
    """`etcd-kv` of `etcd-kv==0.1.0`."""
    found = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found.group()).lower()


@functools.cache
def packages() -> dict[str, Package]:
    """All packages by name, each after those that it depends on."""
    found = {package.name: package for package in map(load, directories())}
    ordered: dict[str, Package] = {}

    def place(package: Package) -> None:
        for name in package.dependencies:
            if name in found and name not in ordered:
                place(found[name])
        ordered[package.name] = package

    for package in found.values():
        if package.name not in ordered:
            place(package)
    return ordered


def directories() -> list[Path]:
    """The directories of the packages, without those that another branch left behind."""
    return sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))


def load(directory: Path) -> Package:
    content = read_toml(directory / "pyproject.toml")
    project = content["project"]
    wheel = content["tool"]["hatch"]["build"]["targets"]["wheel"]
    return Package(
        name=project["name"],
        version=project["version"],
        description=project["description"],
        directory=directory,
        requirements=tuple(project.get("dependencies", ())),
        extras=tuple(
            requirement
            for extra in project.get("optional-dependencies", {}).values()
            for requirement in extra
        ),
        imports=tuple(directory / path for path in wheel["packages"]),
    )


def closure(name: str) -> list[Package]:
    """The package after all siblings that it needs, directly or not."""
    siblings = packages()
    needed: set[str] = set()

    def add(name: str) -> None:
        needed.add(name)
        for dependency in siblings[name].dependencies:
            if dependency in siblings and dependency not in needed:
                add(dependency)

    add(name)
    return [package for package in siblings.values() if package.name in needed]


def tracked_files() -> list[Path]:
    """The files that git tracks; in a copy without git, all but those that tools make."""
    if (ROOT / ".git").exists():
        command = ["git", "-C", str(ROOT), "ls-files", "-z"]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = [ROOT / name for name in output.split("\0") if name]
    else:
        made = {".cache", ".venv", "dist", "__pycache__", ".hypothesis"}
        found = [path for path in ROOT.rglob("*") if not made.intersection(path.parts)]
    return [path for path in found if path.is_file()]


def floors() -> list[str]:
    """The lowest versions of grpcio and protobuf as pins: `grpcio==1.62` for `grpcio>=1.62`."""
    lowest: dict[str, list[str]] = {}
    for package in packages().values():
        for requirement in (*package.requirements, *package.extras):
            name, _, version = requirement.partition(">=")
            if name in ("grpcio", "protobuf"):
                lowest.setdefault(name, []).append(version)
    for name, versions in lowest.items():
        if len(set(versions)) > 1:
            raise SystemExit(f"the packages disagree about the oldest {name}: {set(versions)}")
    return [f"{name}=={versions[0]}" for name, versions in sorted(lowest.items())]


def main(arguments: list[str]) -> str | None:
    match arguments:
        case []:
            print("\n".join(packages()))
        case ["--floors"]:
            print("\n".join(floors()))
        case [name] if name in packages():
            for package in closure(name):
                print(package.directory.relative_to(ROOT).as_posix())
        case _:
            return (__doc__ or "").strip()
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
