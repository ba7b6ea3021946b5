"""A built distribution has the whole package and nothing else."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from workspace import Package, packages

NAMES = list(packages())


@pytest.mark.parametrize("name", NAMES)
def test_a_wheel_contains_only_its_package(name: str, tmp_path: Path) -> None:
    package = packages()[name]
    (built,) = WheelBuilder(str(package.directory)).build(directory=str(tmp_path))
    with zipfile.ZipFile(built) as wheel:
        found = set(wheel.namelist())
    metadata = f"{name.replace('-', '_')}-{package.version}.dist-info"
    expected = set(source_files(package, package.directory / "src"))
    expected |= {f"{metadata}/{file}" for file in ("METADATA", "RECORD", "WHEEL")}
    expected.add(f"{metadata}/licenses/LICENSE")
    optional = {f"{metadata}/entry_points.txt"}
    assert found - optional == expected
    assert {f"{directory.name}/py.typed" for directory in package.imports} <= found


@pytest.mark.parametrize("name", NAMES)
def test_a_source_distribution_can_be_built_and_tested(name: str, tmp_path: Path) -> None:
    package = packages()[name]
    (built,) = SdistBuilder(str(package.directory)).build(directory=str(tmp_path))
    with tarfile.open(built) as sdist:
        found = {member.split("/", 1)[1] for member in sdist.getnames()}
    expected = set(source_files(package, package.directory))
    expected |= {
        path.relative_to(package.directory).as_posix()
        for path in (package.directory / "tests").rglob("*.py")
    }
    made = {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
    assert expected | made <= found
    assert {file for file in found if not file.startswith(("src/", "tests/"))} - made <= {
        ".gitignore"
    }


def source_files(package: Package, root: Path) -> list[str]:
    return [
        path.relative_to(root).as_posix()
        for directory in package.imports
        for path in directory.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
