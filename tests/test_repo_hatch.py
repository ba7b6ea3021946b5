"""The lists in hatch.toml are those of the packages and of requirements/."""

from __future__ import annotations

import re
from typing import Any

import pytest
from workspace import ROOT, TESTING, closure, packages, read_toml

HATCH = read_toml(ROOT / "hatch.toml")["envs"]
ISOLATED = ["hatch-test", "types"]


@pytest.mark.parametrize("environment", ISOLATED)
def test_each_package_has_its_environment(environment: str) -> None:
    (matrix,) = HATCH[environment]["matrix"]
    assert sorted(matrix["package"]) == sorted(packages())


@pytest.mark.parametrize("environment", ISOLATED)
@pytest.mark.parametrize("name", packages())
def test_the_environment_of_a_package_has_its_declared_dependencies(
    environment: str, name: str
) -> None:
    needed = [*closure(name), packages()[TESTING]]
    expected = {package.directory.relative_to(ROOT).as_posix() for package in needed}
    assert members(HATCH[environment], name) == expected


def test_the_environments_install_the_requirements() -> None:
    tests, types = requirements("test.txt"), requirements("types.txt")
    # Only the tests of the repository itself need them.
    own = requirements("repository.txt")
    assert set(HATCH["default"]["dependencies"]) == tests | own
    assert set(HATCH["hatch-test"]["dependencies"]) == tests | requirements("coverage.txt")
    assert set(HATCH["types"]["dependencies"]) == tests | types
    assert set(HATCH["protos"]["dependencies"]) == requirements("protos.txt")
    assert set(HATCH["lint"]["dependencies"]) <= requirements("tools.txt")


@pytest.mark.parametrize("environment", HATCH)
def test_every_environment_takes_the_pinned_versions(environment: str) -> None:
    constraint = HATCH[environment]["env-vars"]["UV_CONSTRAINT"]
    expected = "protos.txt" if environment == "protos" else "constraints.txt"
    assert constraint == f"requirements/{expected}"


def test_the_generator_has_the_version_that_its_tool_requires() -> None:
    tool = (ROOT / "tools" / "protos.py").read_text(encoding="utf-8")
    (version,) = re.findall(r'^GENERATOR_VERSION = "(.*)"$', tool, re.MULTILINE)
    pins = (ROOT / "requirements" / "protos.txt").read_text(encoding="utf-8").splitlines()
    assert f"grpcio-tools=={version}" in pins


def members(environment: dict[str, Any], name: str) -> set[str]:
    overrides = environment["overrides"]["matrix"]["package"]["workspace"]["members"]
    added = {member["value"] for member in overrides if name in member["if"]}
    return added | {member["path"] for member in environment["workspace"]["members"]}


def requirements(file: str) -> set[str]:
    text = (ROOT / "requirements" / file).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.split("==")[0] for line in lines}
