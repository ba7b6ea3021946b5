"""`dev.py new-package` makes a package as one folder, which passes every check."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import ROOT, packages, tracked_files

Run = Callable[..., subprocess.CompletedProcess[str]]

# The tests that check a package for completeness.
CHECKS = [
    "tests/test_repo_documents.py",
    "tests/test_repo_files.py",
    "tests/test_repo_hatch.py",
    "tests/test_repo_imports.py",
    "tests/test_repo_packages.py",
    "tests/test_repo_public_names.py",
    "tests/test_repo_rpc_table.py",
    # The picture is drawn by hand.
    "--deselect=tests/test_repo_imports.py"
    "::test_the_picture_of_the_architecture_has_an_arrow_for_each_import",
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository's files."""
    place = tmp_path_factory.mktemp("clone")
    for path in tracked_files():
        target = place / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return place


@pytest.fixture(scope="module")
def run(copy: Path) -> Run:
    """Runs a Python program in the copy, where the new package can be imported."""
    variables = {**os.environ, "PYTHONPATH": str(copy / "packages" / "etcd-fresh" / "src")}
    variables.pop("PYTEST_ADDOPTS", None)

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command], cwd=copy, env=variables, capture_output=True, text=True
        )

    return run


@pytest.fixture(scope="module")
def made(run: Run) -> str:
    """The name of a package that the command has added to the copy."""
    ended = run("tools/new_package.py", "etcd-fresh", "Nothing yet.")
    assert (ended.returncode, ended.stderr) == (0, "")
    return "etcd-fresh"


def test_a_new_package_is_in_every_list(made: str, run: Run, copy: Path) -> None:
    for tool in ("package_lists.py", "public_names.py", "versions.py"):
        checked = run(f"tools/{tool}", "--check")
        assert checked.returncode == 0, checked.stdout
    assert run("tools/workspace.py", made).stdout == f"packages/{made}\n"
    assert f"alone-{made}" in run("tools/ci.py", "--list").stdout.splitlines()
    readme = (copy / "README.md").read_text(encoding="utf-8")
    assert f"| [{made}](packages/{made}) | `etcd_fresh` | Nothing yet |" in readme
    assert (
        made
        in run(
            "-c", "import sys; sys.path[:0] = ['tools']; import peers; print(peers.ours())"
        ).stdout
    )


def test_a_new_package_is_complete(made: str, run: Run) -> None:
    checked = run("-m", "pytest", "-q", f"packages/{made}", *CHECKS)
    assert checked.returncode == 0, checked.stdout


def test_a_new_package_can_be_built(made: str, run: Run) -> None:
    checked = run("-m", "pytest", "-q", "tests/test_repo_wheels.py", "-k", made)
    assert checked.returncode == 0, checked.stdout
    assert "2 passed" in checked.stdout


def test_a_package_that_is_missing_from_the_lists_is_found(made: str, run: Run, copy: Path) -> None:
    other = copy / "packages" / "etcd-other"
    shutil.copytree(copy / "packages" / made, other)
    try:
        pyproject = other / "pyproject.toml"
        pyproject.write_text(pyproject.read_text(encoding="utf-8").replace(made, "etcd-other"))
        checked = run("tools/package_lists.py", "--check")
        assert checked.returncode == 1
        assert [line.partition(":")[0] for line in checked.stdout.splitlines()] == [
            ".github/workflows/release.yml",
            "README.md",
            "hatch.toml",
            "pytest.toml",
        ]
    finally:
        shutil.rmtree(other)
    assert run("tools/package_lists.py", "--check").returncode == 0


def test_a_folder_left_by_another_branch_is_no_package(made: str, run: Run, copy: Path) -> None:
    (copy / "packages" / "etcd-left" / "__pycache__").mkdir(parents=True)
    assert run("tools/workspace.py").stdout.splitlines().count("etcd-left") == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["kv"], "'kv' is no name such as etcd-cache"),
        (["etcd_cache"], "'etcd_cache' is no name such as etcd-cache"),
        (["etcd-kv"], "packages/etcd-kv is there already"),
        (["etcd-cache", 'in "quotes"'], "a description is one line without quotes"),
        (["etcd-cache", "two\rlines"], "a description is one line without quotes"),
        (["etcd-cache", "two\x85lines"], "a description is one line without quotes"),
        (["etcd-cache", " "], "the description is empty"),
        (["etcd-" + "a" * 300], "the name has 305 characters, and may have 100"),
        ([], "new_package.py NAME [DESCRIPTION]"),
    ],
)
def test_a_wrong_name_makes_nothing(
    run: Run, copy: Path, arguments: list[str], complaint: str
) -> None:
    before = sorted((copy / "packages").iterdir())
    ended = run("tools/new_package.py", *arguments)
    assert ended.returncode == 1
    assert complaint in ended.stderr
    assert sorted((copy / "packages").iterdir()) == before


def test_an_invalid_pyproject_is_named(run: Run, copy: Path) -> None:
    broken = copy / "packages" / "etcd-broken"
    broken.mkdir()
    try:
        (broken / "pyproject.toml").write_text("[project")
        ended = run("tools/package_lists.py", "--check")
    finally:
        shutil.rmtree(broken)
    assert ended.returncode == 1
    assert ended.stderr.startswith("packages/etcd-broken/pyproject.toml is no TOML: ")


def test_excluding_a_package_also_excludes_its_dependents() -> None:
    import peers

    names = peers.ours()
    assert peers.holders_of("aetcd") == {"etcd-client"}
    assert peers.with_users({"etcd-kv"}, names) == {
        "etcd-cache",
        "etcd-kv",
        "etcd-lock",
        "etcd-recipes",
        "etcd-client",
        "etcd-sync",
    }
    assert set(names) == packages().keys() - {"etcd-testing"}
    assert "etcd-client" not in peers.recipe("aetcd").packages
    assert "etcd-client" in peers.recipe("etcd3aio").packages
