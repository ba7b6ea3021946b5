"""Writes the lists of packages in other files, and what the packages' metadata have in common.

python3 tools/dev.py run python tools/package_lists.py           write them
python3 tools/dev.py run python tools/package_lists.py --check   exit 1 and name each wrong list

They are the environments of each package in hatch.toml, the directories of the tests in
pytest.toml, the table in README.md and the jobs of the release; and in each package's
pyproject.toml its classifiers and its URLs, which follow from the constants below. Each is between
two lines that name this tool; nothing else is changed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

from distributions import PYTHONS
from workspace import ROOT, TESTING, Package, closure, packages

__all__ = ["DOCUMENTATION", "LISTS", "REPOSITORY", "files", "main", "rewritten"]

REPOSITORY = "https://github.com/etcd-python/etcd-client"
"""The home of the sources. The distributions name it, and this is the only place to change it."""

DOCUMENTATION = "https://etcd-python.github.io/etcd-client/"

CLASSIFIERS = (
    "Development Status :: 4 - Beta",
    "Framework :: AsyncIO",
    "Intended Audience :: Developers",
    "Operating System :: POSIX",
    "Programming Language :: Python :: 3",
    "Programming Language :: Python :: 3 :: Only",
    "Programming Language :: Python :: Implementation :: CPython",
    "Topic :: Database",
    "Topic :: System :: Distributed Computing",
    "Typing :: Typed",
    *(f"Programming Language :: Python :: {version}" for version in PYTHONS),
)
CLASSIFIERS_OF_TESTING = (
    "Framework :: Pytest",
    "Topic :: Software Development :: Testing",
)

SHARED = (".github/workflows/release.yml", "README.md", "hatch.toml", "pytest.toml")
"""The files with lists of all packages."""

BLOCK = re.compile(
    r"(?P<begin>^[^\n]*Written by tools/package_lists\.py: (?P<name>\w+)[^\n]*\n)"
    r"(?P<list>.*?)"
    r"(?P<end>^[^\n]*End of what tools/package_lists\.py writes[^\n]*$)",
    re.MULTILINE | re.DOTALL,
)


def matrix() -> str:
    """All names, for a matrix of hatch."""
    return "package = [\n" + "".join(f'  "{name}",\n' for name in packages()) + "]\n"


def members() -> str:
    """The packages that hatch installs for each: those that it needs, directly or not."""
    needs = {name: {needed.name for needed in closure(name)} for name in packages()}
    lines = []
    for package in packages().values():
        # It is in every environment already.
        if package.name == TESTING:
            continue
        users = ", ".join(f'"{name}"' for name in packages() if package.name in needs[name])
        lines.append(f'  {{ value = "packages/{package.directory.name}", if = [{users}] }},\n')
    return "matrix.package.workspace.members = [\n" + "".join(lines) + "]\n"


def table() -> str:
    """A row for each package: its name, its import packages and its description."""
    rows = ["| package | import | description |\n", "|---|---|---|\n"]
    for package in from_the_top():
        imports = ", ".join(f"`{path.name}`" for path in package.imports)
        name, folder = package.name, package.directory.name
        what = package.description.removesuffix(".").replace("|", "\\|")
        rows.append(f"| [{name}](packages/{folder}) | {imports} | {what} |\n")
    return "".join(rows)


def from_the_top() -> list[Package]:
    """The packages, those that need the most others first, etcd-testing last."""
    return sorted(
        packages().values(),
        key=lambda package: (package.name == TESTING, -len(closure(package.name)), package.name),
    )


def tests() -> str:
    """The directories of the tests, inside a list."""
    folders = sorted(package.directory.name for package in packages().values())
    return "".join(f'  "packages/{folder}/tests",\n' for folder in folders)


def publish() -> str:
    """All names, each after those that it needs, for the matrix of the release."""
    return "".join(f"          - {name}\n" for name in packages())


def pythons() -> str:
    """The versions of Python, for a matrix of hatch."""
    return "python = [" + ", ".join(f'"{version}"' for version in PYTHONS) + "]\n"


def classifiers(package: Package) -> str:
    """The classifiers of a package, inside a list."""
    own = CLASSIFIERS_OF_TESTING if package.name == TESTING else ()
    # By number, so that 3.9 would stand before 3.10.
    ordered = sorted({*CLASSIFIERS, *own}, key=lambda name: re.sub(r"\d+", by_number, name))
    return "".join(f'    "{name}",\n' for name in ordered)


def by_number(digits: re.Match[str]) -> str:
    return digits.group().zfill(4)


def urls(package: Package) -> str:
    """The places of a package on the web."""
    tree = f"{REPOSITORY}/tree/main/packages/{package.directory.name}"
    links = {
        "Homepage": REPOSITORY,
        "Documentation": DOCUMENTATION,
        "Changelog": f"{REPOSITORY}/blob/main/CHANGELOG.md",
        "Issues": f"{REPOSITORY}/issues",
        "Source": tree,
    }
    return "".join(f'{name} = "{link}"\n' for name, link in links.items())


LISTS: dict[str, Callable[[], str]] = {
    "matrix": matrix,
    "members": members,
    "publish": publish,
    "pythons": pythons,
    "table": table,
    "tests": tests,
}

LISTS_OF_A_PACKAGE: dict[str, Callable[[Package], str]] = {
    "classifiers": classifiers,
    "urls": urls,
}


def files() -> dict[Path, Package | None]:
    """The files with such lists, and the package that a file belongs to."""
    shared = {ROOT / name: None for name in SHARED}
    return {**shared, **{one.directory / "pyproject.toml": one for one in packages().values()}}


def rewritten(text: str, package: Package | None = None) -> str:
    """The text of a file, of a package's own if one is given, with its lists as they should be."""

    def rewrite(block: re.Match[str]) -> str:
        name = block["name"]
        made = LISTS_OF_A_PACKAGE[name](package) if package else LISTS[name]()
        return block["begin"] + made + block["end"]

    return BLOCK.sub(rewrite, text)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the lists of the packages.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 on a difference"
    )
    options = parser.parse_args(arguments)
    stale = []
    for path, package in files().items():
        text = path.read_text(encoding="utf-8")
        if (new := rewritten(text, package)) == text:
            continue
        stale.append(path.relative_to(ROOT).as_posix())
        if not options.check:
            path.write_text(new, encoding="utf-8")
    if not options.check:
        return 0
    for name in stale:
        print(f"{name}: its list of packages is not up to date: run tools/package_lists.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
