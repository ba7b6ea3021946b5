"""Distributions that install the same files as etcd-client are named at its import.

The directories of these tests hold no code, only the names that the check looks for. The real
distributions are installed by tests/coexistence/test_coexistence_same_files.py.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from etcd_client import _conflicts


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory with etcd-client, as far as the check looks."""
    site = tmp_path / "site-packages"
    (site / "aetcd").mkdir(parents=True)
    (site / "aetcd" / "__init__.py").touch()
    (site / "etcd_client").mkdir()
    (site / "etcd_client-0.1.0.dist-info").mkdir()
    (site / "etcd_channel-0.1.0.dist-info").mkdir()
    return site


def problems(site: Path, *before: Path) -> list[str]:
    return list(_conflicts.problems(str(site), ["", *map(str, before), str(site)]))


def test_etcd_client_alone_has_no_problem(site: Path) -> None:
    assert problems(site) == []


@pytest.mark.parametrize("kind", ["dist-info", "egg-info"])
def test_the_distribution_aetcd_is_named_with_what_to_do(site: Path, kind: str) -> None:
    (site / f"aetcd-1.0.0.{kind}").mkdir()
    (problem,) = problems(site)
    assert problem.startswith("aetcd 1.0.0 is installed beside etcd-client")
    assert "the module aetcd:" in problem
    assert "`pip uninstall aetcd`" in problem
    assert "`pip install --force-reinstall --no-deps etcd-client`" in problem


def test_the_distribution_etcd_client_py_is_named_with_what_to_do(site: Path) -> None:
    (site / "etcd_client_py-0.5.1.dist-info").mkdir()
    (problem,) = problems(site)
    assert problem.startswith("etcd-client-py 0.5.1 is installed beside etcd-client")
    assert "the module etcd_client:" in problem
    assert "`pip uninstall etcd-client-py`" in problem


def test_a_distribution_whose_name_only_begins_alike_is_no_problem(site: Path) -> None:
    for name in ("aetcd_tools-1.0.dist-info", "aetcd3-1.0.dist-info", "aetcd-1.0.dist-info.bak"):
        (site / name).mkdir()
    assert problems(site) == []


def test_a_module_that_an_uninstallation_removed_is_named(site: Path) -> None:
    (site / "aetcd" / "__init__.py").unlink()
    (problem,) = problems(site)
    assert problem.startswith("the module aetcd of etcd-client is not complete")
    assert "`pip install --force-reinstall --no-deps etcd-client`" in problem


def test_a_directory_before_that_of_etcd_client_is_checked_too(site: Path, tmp_path: Path) -> None:
    user = tmp_path / "user" / "site-packages"
    (user / "aetcd-1.0.0.dist-info").mkdir(parents=True)
    (problem,) = problems(site, user, tmp_path / "no" / "site-packages")
    assert problem.startswith("aetcd 1.0.0 ")


def test_a_directory_after_that_of_etcd_client_is_not_checked(site: Path, tmp_path: Path) -> None:
    system = tmp_path / "dist-packages"
    (system / "aetcd-1.0.0.dist-info").mkdir(parents=True)
    assert list(_conflicts.problems(str(site), [str(site), str(system)])) == []


def test_a_package_in_an_archive_has_no_problem(tmp_path: Path) -> None:
    assert problems(tmp_path / "program.zip") == []


def test_the_import_warns_once_and_names_the_importing_line(tmp_path: Path) -> None:
    before = tmp_path / "site-packages"
    (before / "aetcd-1.0.0.dist-info").mkdir(parents=True)
    program = f"import sys; sys.path.insert(0, {str(before)!r}); import aetcd, etcd_client"
    command = [sys.executable, "-W", "always::ImportWarning", "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0
    (line,) = [line for line in ended.stderr.splitlines() if "ImportWarning" in line]
    assert "ImportWarning: aetcd 1.0.0 is installed beside etcd-client" in line


def test_an_etcd_client_of_another_distribution_is_refused_by_aetcd(tmp_path: Path) -> None:
    (tmp_path / "etcd_client").mkdir()
    (tmp_path / "etcd_client" / "__init__.py").touch()
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import aetcd"
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("ImportError: the module etcd_client is not that of the distribution")
    assert "`pip uninstall etcd-client-py`" in last
