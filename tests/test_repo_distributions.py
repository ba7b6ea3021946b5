"""The built distributions, as tools/distributions.py keeps them and hands them out."""

from __future__ import annotations

import tarfile
from pathlib import Path

import distributions
import pytest
from workspace import packages


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A directory with distributions, as far as their names go, and one sdist with tests."""
    for name in packages():
        (tmp_path / f"{name.replace('-', '_')}-0.1.0-py3-none-any.whl").touch()
    inside = tmp_path / "etcd_kv-0.1.0"
    (inside / "tests").mkdir(parents=True)
    (inside / "tests" / "test_kv.py").write_text("def test_kv() -> None: ...\n", encoding="utf-8")
    (inside / "README.md").touch()
    with tarfile.open(tmp_path / "etcd_kv-0.1.0.tar.gz", "w:gz") as sdist:
        sdist.add(inside, inside.name)
    return tmp_path


def test_all_packages_are_built() -> None:
    assert distributions.names() == sorted(packages())


def test_a_wheel_is_named_by_its_own_file_so_that_no_index_gives_another(built: Path) -> None:
    (wheel,) = distributions.wheels(built, "etcd-kv")
    assert wheel == f"etcd-kv @ {built.as_uri()}/etcd_kv-0.1.0-py3-none-any.whl"
    assert len(distributions.wheels(built)) == len(packages())


def test_the_wheel_of_etcd_testing_comes_with_its_extra(built: Path) -> None:
    (wheel,) = distributions.wheels(built, "etcd-testing")
    assert wheel.startswith("etcd-testing[played] @ ")


def test_the_tests_of_an_sdist_are_laid_out_as_in_the_repository(
    built: Path, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    tests = distributions.unpack_tests(built, "etcd-kv", place)
    assert tests == place / "packages" / "etcd-kv" / "tests"
    found = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert found == {"pytest.toml", "conftest.py", "packages/etcd-kv/tests/test_kv.py"}


def test_a_change_of_a_package_builds_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = distributions.digest()
    assert distributions.digest() == before
    monkeypatch.setattr(distributions, "names", lambda: ["etcd-kv"])
    assert distributions.digest() != before


def test_nothing_is_built_into_a_directory_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "etcd_kv-0.0.9.tar.gz").touch()
    said = distributions.main([str(tmp_path)])
    assert said is not None
    assert said.endswith("is not empty: etcd_kv-0.0.9.tar.gz")
    assert distributions.main(["--help"]) is not None


def test_every_step_of_a_package_has_a_python() -> None:
    """The versions take turns, and all of them are used."""
    turns = {
        distributions.PYTHONS[number % len(distributions.PYTHONS)]
        for number, _ in enumerate(distributions.names())
    }
    assert turns == set(distributions.PYTHONS)
