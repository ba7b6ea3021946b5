"""The packages of this repository, as their own pyproject.toml files describe them.

python tools/workspace.py              the names of all, the lower ones first
python tools/workspace.py NAME         the directories of a package and of the siblings it needs
python tools/workspace.py --floors     the oldest grpcio and protobuf that the packages declare
"""

from __future__ import annotations

import functools
import re
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
]

ROOT = Path(__file__).resolve().parent.parent

TESTING = "etcd-testing"
"""The distribution that every package's tests have beside them, declared or not."""


@dataclass(frozen=True)
class Package:
    """One distribution of the repository."""

    name: str
    version: str
    directory: Path
    requirements: tuple[str, ...]
    extras: tuple[str, ...]
    """The requirements of its extras, all together."""
    imports: tuple[Path, ...]
    """The import packages that its wheel holds."""

    @property
    def dependencies(self) -> tuple[str, ...]:
        """The names of what it requires, siblings and others."""
        return tuple(requirement_name(requirement) for requirement in self.requirements)


def read_toml(path: Path) -> dict[str, Any]:
    return tomli.loads(path.read_text(encoding="utf-8"))


def requirement_name(requirement: str) -> str:
    """`etcd-kv` of `etcd-kv==0.1.0`."""
    found = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found.group()).lower()


@functools.cache
def packages() -> dict[str, Package]:
    """All packages by name, each after those that it depends on."""
    found = {package.name: package for package in map(load, sorted(ROOT.glob("packages/*")))}
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


def load(directory: Path) -> Package:
    content = read_toml(directory / "pyproject.toml")
    project = content["project"]
    wheel = content["tool"]["hatch"]["build"]["targets"]["wheel"]
    return Package(
        name=project["name"],
        version=project["version"],
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


def floors() -> list[str]:
    """`grpcio==1.62.0` for a lowest `grpcio>=1.62` of all packages, and so protobuf."""
    lowest: dict[str, list[str]] = {}
    for package in packages().values():
        for requirement in package.requirements:
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
