"""Sets the one version of all packages, or checks that it is one.

python3 tools/dev.py release 0.2.0                          sets it everywhere
python3 tools/dev.py run python tools/versions.py --check   exit 1 and name each deviation

The version is in each pyproject.toml, in each pin of a sibling, and in each `__version__`, which is
a literal because the metadata of an editable install is not updated. Setting it also turns the
heading `## Unreleased…` of CHANGELOG.md into that of the version, with today's date.
"""

from __future__ import annotations

import argparse
import datetime as dt
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workspace import ROOT, Package, packages

VERSION = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?(\.dev\d+)?")

CHANGELOG = ROOT / "CHANGELOG.md"
UNRELEASED = re.compile(r"^## (Unreleased.*)$", re.MULTILINE)

# The documented module tree is part of etcd-client.
WITHOUT_VERSION = {"aetcd"}


@dataclass(frozen=True)
class Place:
    """A place of the version: the only group of a pattern that matches once in a file."""

    path: Path
    what: str
    pattern: re.Pattern[str]

    def found(self) -> list[str]:
        return self.pattern.findall(self.path.read_text(encoding="utf-8"))

    def miscount(self) -> str:
        """The error if the version is not there exactly once; else empty."""
        count = len(self.found())
        return "" if count == 1 else f"{self} stands there {count} times, not once"

    def set(self, version: str) -> None:
        text = self.path.read_text(encoding="utf-8")
        (place,) = self.pattern.finditer(text)
        text = text[: place.start(1)] + version + text[place.end(1) :]
        self.path.write_text(text, encoding="utf-8")

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT).as_posix()}: {self.what}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Set the one version of all packages.")
    parser.add_argument("version", nargs="?", help="as 0.2.0 or 0.2.0rc1")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on a deviation")
    options = parser.parse_args(arguments)
    if options.check == (options.version is not None):
        parser.error("either a version or --check")
    if options.check:
        complaints = list(deviations())
        print("\n".join(complaints) or "one version everywhere")
        return 1 if complaints else 0
    if not VERSION.fullmatch(options.version):
        parser.error(f"{options.version!r} is no version such as 0.2.0 or 0.2.0rc1")
    heading = Place(CHANGELOG, "the heading '## Unreleased'", UNRELEASED)
    complaints = [place.miscount() for place in (heading, *places()) if place.miscount()]
    if complaints:
        print("\n".join(complaints))
        return 1
    for place in places():
        place.set(options.version)
    heading.set(f"{options.version} ({dt.datetime.now(dt.timezone.utc).date()})")
    print(f"All packages are {options.version} now; docs/releasing.md says what is next.")
    return 0


def places() -> Iterator[Place]:
    for package in packages().values():
        path = package.directory / "pyproject.toml"
        yield Place(path, "version", re.compile(r'^version = "(.*)"$', re.MULTILINE))
        for sibling in siblings(package):
            pin = re.compile(rf'^    "{re.escape(sibling)}==(.*)",$', re.MULTILINE)
            yield Place(path, f"the pin {sibling}==", pin)
            with_extra = rf'"{re.escape(sibling)}\[(\w+)\]==.*?"'
            for extra in re.findall(with_extra, path.read_text(encoding="utf-8")):
                pin = re.compile(rf'"{re.escape(sibling)}\[{extra}\]==(.*?)"')
                yield Place(path, f"the pin {sibling}[{extra}]==", pin)
        for directory in package.imports:
            if directory.name not in WITHOUT_VERSION:
                literal = re.compile(r'^__version__ = "(.*)"$', re.MULTILINE)
                yield Place(directory / "__init__.py", "__version__", literal)


def siblings(package: Package) -> list[str]:
    return [name for name in package.dependencies if name in packages()]


def deviations() -> Iterator[str]:
    """One line for each place that does not hold the version of the lowest package."""
    lowest = next(iter(packages().values()))
    expected = lowest.version
    for place in places():
        if complaint := place.miscount():
            yield complaint
        elif place.found() != [expected]:
            yield f"{place} is {place.found()[0]!r}; {lowest.name} is {expected!r}"


if __name__ == "__main__":
    sys.exit(main())
