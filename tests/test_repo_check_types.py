"""`dev.py types` checks the types of everything, or of what is named."""

from __future__ import annotations

import subprocess
from pathlib import Path

import check_types
import pytest
from workspace import ROOT, packages


def test_without_arguments_everything_is_checked() -> None:
    *of_packages, outside = check_types.runs([])
    assert of_packages == [[f"packages/{name}"] for name in packages()]
    assert all((ROOT / name).exists() for name in outside)
    # Each directory with Python in it is in one of the runs.
    holders = {path.relative_to(ROOT).parts[0] for path in ROOT.glob("[a-z]*/**/*.py")}
    assert holders - {"packages"} <= set(outside)


def test_everything_outside_the_packages_can_be_checked_alone() -> None:
    assert check_types.runs(["--outside"]) == check_types.runs([])[-1:]


def test_what_is_named_is_checked_in_one_run() -> None:
    assert check_types.runs(["packages/etcd-kv", "--pretty"]) == [["packages/etcd-kv", "--pretty"]]


@pytest.mark.parametrize(("statuses", "expected"), [([0] * 99, 0), ([0, 1, *[0] * 99], 1)])
def test_a_run_that_fails_does_not_keep_the_others_from_running(
    statuses: list[int], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], cwd: Path | None) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        assert cwd == ROOT
        return subprocess.CompletedProcess(command, statuses[len(commands) - 1])

    monkeypatch.setattr(subprocess, "run", run)
    assert check_types.main([]) == expected
    assert len(commands) == len(packages()) + 1
