"""The workflows of GitHub: what they run, what they may do, and that no package is forgotten."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from distributions import PYTHONS
from workspace import ROOT, packages

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def text_of(name: str) -> str:
    return (ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8")


def test_a_release_publishes_every_package_after_those_that_it_needs() -> None:
    named = re.findall(r"^          - (etcd-\S+)$", text_of("release.yml"), re.MULTILINE)
    assert sorted(named) == sorted(packages())
    for name, package in packages().items():
        for needed in set(package.dependencies) & set(named):
            assert named.index(needed) < named.index(name)
    assert "max-parallel: 1\n" in text_of("release.yml")


def test_only_the_job_that_publishes_has_an_identity_and_it_holds_no_password() -> None:
    before, publishing = text_of("release.yml").split("\n  publish:\n")
    assert "id-token" not in before
    assert "id-token: write\n" in publishing
    assert re.search(r"^    environment:\n      name: pypi$", publishing, re.MULTILINE)
    assert "secrets." not in before + publishing
    # What is published was built, checked and tested by another job.
    assert "    needs: build\n" in publishing
    assert "checkout" not in publishing


def test_a_release_tests_its_distributions_before_it_hands_them_over() -> None:
    text = text_of("release.yml")
    steps = [".ci/run distributions", "tools/dev.py build dist", "actions/upload-artifact"]
    places = [text.index(step) for step in steps]
    assert places == sorted(places)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_commit(path: Path) -> None:
    uses = re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))
    assert uses
    pinned = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [one for one in uses if not pinned.fullmatch(one)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_by_default(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "\npermissions:\n  contents: read\n" in text
    assert text.count("persist-credentials: false") == text.count("actions/checkout@")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_brings_every_python(path: Path) -> None:
    brought = re.findall(r"^            (3\.\d+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(brought) == sorted(PYTHONS)


def test_ci_runs_what_every_machine_can_run() -> None:
    assert re.findall(r"run: (.*)", text_of("ci.yml")) == ["bash .ci/run"]
