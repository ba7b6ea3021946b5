"""Makes an empty package: `python3 tools/dev.py new-package NAME` runs it.

new_package.py NAME [DESCRIPTION]   NAME is the distribution's, as etcd-cache

It makes the folder packages/NAME with all that a package of this repository has, updates the lists
of packages in other files (tools/package_lists.py), and writes its file of public names
(tools/public_names.py).
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import package_lists
import public_names
from workspace import ROOT, packages

__all__ = ["main", "make"]

NAME = re.compile(r"etcd(-[a-z][a-z0-9]*)+")

# The name is part of several file names, which may have 255 characters.
LONGEST = 100

INIT = '''"""{description}"""

__version__ = "{version}"

__all__: list[str] = []
'''

README = """# {name}

{description}
"""

TEST = '''"""The package {name}."""

from __future__ import annotations

import {module}


def test_every_public_name_is_there() -> None:
    assert [name for name in {module}.__all__ if not hasattr({module}, name)] == []
'''


def main(arguments: list[str]) -> str | None:
    match arguments:
        case [name]:
            description = f"{name} for asyncio."
        case [name, description]:
            description = description.strip().removesuffix(".") + "."
        case _:
            return (__doc__ or "").strip()
    if not NAME.fullmatch(name):
        return f"new_package.py: {name!r} is no name such as etcd-cache"
    if not description.isprintable() or re.search(r'["\\]', description):
        return "new_package.py: a description is one line without quotes and backslashes"
    if description == ".":
        return "new_package.py: the description is empty"
    if len(name) > LONGEST:
        return f"new_package.py: the name has {len(name)} characters, and may have {LONGEST}"
    directory = ROOT / "packages" / name
    if directory.exists():
        return f"new_package.py: {directory.relative_to(ROOT)} is there already"
    make(directory, description)
    packages.cache_clear()
    package_lists.main([])
    public_names.main([])
    print(f"{directory.relative_to(ROOT)} was made; see CONTRIBUTING.md for the next steps")
    return None


def make(directory: Path, description: str) -> None:
    name = directory.name
    module = name.replace("-", "_")
    version = next(iter(packages().values())).version
    fields = {"name": name, "module": module, "version": version, "description": description}
    # Before anything is made: it can fail.
    project = pyproject(name, module, description)
    source, tests = directory / "src" / module, directory / "tests"
    source.mkdir(parents=True)
    tests.mkdir()
    write(directory / "pyproject.toml", project)
    write(directory / "README.md", README.format(**fields))
    shutil.copy(ROOT / "LICENSE", directory)
    write(source / "__init__.py", INIT.format(**fields))
    (source / "py.typed").touch()
    write(tests / f"test_{module.removeprefix('etcd_')}_package.py", TEST.format(**fields))


def pyproject(name: str, module: str, description: str) -> str:
    """The pyproject.toml of etcd-channel with other names and no dependencies."""
    text = (ROOT / "packages" / "etcd-channel" / "pyproject.toml").read_text(encoding="utf-8")
    for pattern, new in (
        (r'^name = "[^"]*"$', f'name = "{name}"'),
        (r'^description = "[^"]*"$', f'description = "{description}"'),
        (r"^keywords = \[[^\]]*\]$", 'keywords = ["asyncio", "etcd", "etcd3", "grpc"]'),
        (r"^dependencies = \[.*?^\]$", "dependencies = []"),
        (r'^packages = \["src/[^"]*"\]$', f'packages = ["src/{module}"]'),
    ):
        text, count = re.subn(pattern, new, text, flags=re.MULTILINE | re.DOTALL)
        if count != 1:
            raise SystemExit(f"new_package.py: etcd-channel's pyproject.toml lacks one {pattern}")
    return text


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
