"""The environments of a clone: made once, kept while they are current, never removed in use."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import environment
import pytest
from environment import Recipe
from workspace import ROOT

HANG = 60.0
"""The timeout of a test that hangs; nothing is measured by it."""

RECIPE = Recipe("some", ("some.txt",), packages=("etcd-kv", "etcd-testing"))


@pytest.fixture(autouse=True)
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small clone of two packages, in place of this one."""
    files = {
        "requirements/some.txt": "# What is needed.\nruff\nprotobuf==4.25.9\n",
        "requirements/other.txt": "mypy\n",
        "requirements/constraints.txt": "mypy==2.4.1\nprotobuf==7.36.2\nruff==0.17.6\n",
        "requirements/build.txt": "hatchling\n",
        "requirements/pip.txt": "pip==26.3 --hash=sha256:00\n",
        "packages/etcd-kv/pyproject.toml": "[project]\n",
        "packages/etcd-lock/pyproject.toml": "[project]\n",
        "packages/etcd-testing/pyproject.toml": "[project]\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    requirements = tmp_path / "requirements"
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "HOME", tmp_path / ".cache" / "dev")
    monkeypatch.setattr(environment, "REQUIREMENTS", requirements)
    monkeypatch.setattr(environment, "CONSTRAINTS", requirements / "constraints.txt")
    monkeypatch.setattr(environment, "PIP", requirements / "pip.txt")
    yield tmp_path
    release(*(lock.with_suffix("") for lock in environment.HOME.glob("*.lock")))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The directories of the environments that are made, without installing anything."""
    directories: list[Path] = []

    def make(recipe: Recipe, directory: Path) -> None:
        assert not directory.exists()
        directory.mkdir()
        directories.append(directory)

    monkeypatch.setattr(environment, "make", make)
    return directories


def change(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")


def test_an_environment_is_made_once(made: list[Path]) -> None:
    first = environment.ensure(RECIPE)
    assert environment.ensure(RECIPE) == first
    assert made == [first]
    assert first.name.startswith(f"some-{sys.version_info.major}.{sys.version_info.minor}-")


@pytest.mark.parametrize(
    "file",
    [
        "requirements/some.txt",
        "requirements/constraints.txt",
        "requirements/build.txt",
        "requirements/pip.txt",
        "packages/etcd-kv/pyproject.toml",
    ],
)
def test_a_change_of_a_recipe_makes_another_environment(
    made: list[Path], clone: Path, file: str
) -> None:
    first = environment.ensure(RECIPE)
    release(first)
    change(clone / file)
    second = environment.ensure(RECIPE)
    assert made == [first, second]
    assert not first.exists()


@pytest.mark.parametrize("file", ["requirements/other.txt", "packages/etcd-lock/pyproject.toml"])
def test_other_changes_make_no_environment(made: list[Path], clone: Path, file: str) -> None:
    first = environment.ensure(RECIPE)
    change(clone / file)
    assert environment.ensure(RECIPE) == first
    assert made == [first]


def test_a_new_package_makes_another_environment_with_all_packages(
    made: list[Path], clone: Path
) -> None:
    everything = Recipe("all", ("some.txt",), packages=("*",))
    first = environment.ensure(everything)
    (clone / "packages" / "etcd-new").mkdir()
    (clone / "packages" / "etcd-new" / "pyproject.toml").write_text("[project]\n")
    assert environment.ensure(everything) != first


def test_an_environment_in_use_is_not_removed(made: list[Path], clone: Path) -> None:
    first = environment.ensure(RECIPE)
    # This process still has the lock, like a run of tests.
    change(clone / "requirements" / "some.txt")
    environment.ensure(RECIPE)
    assert first.exists()


def test_an_incomplete_environment_is_made_again(
    made: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = environment.make

    def fail(recipe: Recipe, directory: Path) -> None:
        whole(recipe, directory)
        sys.exit("dev.py: pip could not install what is needed")

    monkeypatch.setattr(environment, "make", fail)
    with pytest.raises(SystemExit):
        environment.ensure(RECIPE)
    release(*made)
    monkeypatch.setattr(environment, "make", whole)
    directory = environment.ensure(RECIPE)
    assert made == [directory, directory]
    assert (directory / "complete").exists()


def test_a_second_process_waits_while_an_environment_is_made(
    made: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = environment.make
    begun, go_on = threading.Event(), threading.Event()

    def slow(recipe: Recipe, directory: Path) -> None:
        begun.set()
        assert go_on.wait(HANG)
        whole(recipe, directory)

    monkeypatch.setattr(environment, "make", slow)
    got: list[Path] = []
    threads = [
        threading.Thread(target=lambda: got.append(environment.ensure(RECIPE))) for _ in range(2)
    ]
    threads[0].start()
    assert begun.wait(HANG)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(HANG)
    assert len(made) == 1
    assert got == made * 2


def test_a_read_only_clone_is_reported_in_one_line(clone: Path) -> None:
    (clone / ".cache").write_text("no directory\n")
    with pytest.raises(SystemExit, match=r"^dev\.py: cannot set up .*some-.*: ") as raised:
        environment.ensure(RECIPE)
    assert "\n" not in str(raised.value)


def test_a_requirement_that_a_recipe_pins_is_not_constrained() -> None:
    assert environment.constraints_of(RECIPE) == "mypy==2.4.1\nruff==0.17.6\n"


def test_the_packages_are_found_by_their_folders(clone: Path) -> None:
    everything = Recipe("all", (), packages=("*",))
    names = [path.parent.name for path in environment.package_files(everything)]
    assert names == ["etcd-kv", "etcd-lock", "etcd-testing"]
    shown = [environment.with_extra(path.parent) for path in environment.package_files(RECIPE)]
    testing = f"{clone / 'packages' / 'etcd-testing'}[played]"
    assert shown == [f"{clone / 'packages' / 'etcd-kv'}", testing]


def test_variables_of_the_caller_have_no_effect_in_an_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PYTHONPATH", "PIP_TARGET", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.test/simple")
    variables = environment.clean_variables()
    assert not {"PYTHONPATH", "PIP_TARGET", "VIRTUAL_ENV"} & variables.keys()
    assert variables["PIP_INDEX_URL"] == "https://index.test/simple"


def test_an_index_that_does_not_answer_is_named_as_the_cause(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:1/index")
    monkeypatch.setenv("no_proxy", "*")
    pip = tmp_path / "pip"
    pip.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    pip.chmod(0o755)
    with pytest.raises(SystemExit) as raised:
        environment.pip(pip, "anything")
    assert str(raised.value).startswith("dev.py: the package index does not answer: 127.0.0.1:1: ")
    assert "secret" not in str(raised.value)


def test_pip_reports_the_error_if_the_index_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "simple" / "pip").mkdir(parents=True)
    (tmp_path / "simple" / "pip" / "index.html").touch()
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "simple").as_uri())
    pip = tmp_path / "pip"
    pip.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    pip.chmod(0o755)
    with pytest.raises(SystemExit, match="see its messages above"):
        environment.pip(pip, "anything")


# The commands ----------------------------------------------------------------------------------

DRIVER = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import commands, environment
environment.ensure = lambda recipe: pathlib.Path(sys.argv[2])
sys.exit(commands.main(sys.argv[3:], usage="usage"))
"""


@pytest.fixture
def dev(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command of dev.py in an existing environment, with a program `echoed`."""
    home = tmp_path / "environment"
    (home / "bin").mkdir(parents=True)
    for name in ("echoed", "python"):
        program = home / "bin" / name
        program.write_text(f'#!/bin/sh\necho {name} "$PWD" "$@"\nexit 7\n', encoding="utf-8")
        program.chmod(0o755)

    def dev(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", DRIVER, str(ROOT / "tools"), str(home), *arguments]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True)

    return dev


Dev = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_tool_is_run_in_place_with_its_arguments_and_exit_code(dev: Dev, tmp_path: Path) -> None:
    ended = dev("run", "echoed", "one", "two three", cwd=tmp_path)
    assert (ended.stdout, ended.returncode) == (f"echoed {tmp_path} one two three\n", 7)


def test_a_tool_that_the_environment_lacks_is_looked_for_on_the_path(dev: Dev) -> None:
    # `echoed` is on the PATH of what is run.
    assert dev("run", "sh", "-c", "echoed again").stdout == f"echoed {ROOT} again\n"


def test_a_missing_tool_is_reported_in_one_line(dev: Dev) -> None:
    ended = dev("run", "no-such-tool")
    assert ended.returncode == 1
    assert ended.stderr == "dev.py: no-such-tool: No such file or directory\n"


@pytest.mark.parametrize(
    ("command", "program"),
    [
        (["test", "-x"], "-m pytest -x"),
        (["cover", "-x"], f"{ROOT / 'tools' / 'cover.py'} -x"),
        (["bench", "--all"], f"{ROOT / 'benchmarks' / 'run.py'} --all"),
        (["demo", "now"], f"{ROOT / 'examples' / 'tour.py'} now"),
        (["new-package", "etcd-x"], f"{ROOT / 'tools' / 'new_package.py'} etcd-x"),
        (["build", "dist"], f"{ROOT / 'tools' / 'distributions.py'} dist"),
        (["matrix", "packages"], f"{ROOT / 'tools' / 'matrix.py'} packages"),
        (["release", "1.2.3"], f"{ROOT / 'tools' / 'versions.py'} 1.2.3"),
    ],
)
def test_a_command_passes_its_arguments_to_its_program(
    dev: Dev, command: list[str], program: str
) -> None:
    assert dev(*command).stdout == f"python {ROOT} {program}\n"


def test_the_tests_are_found_from_every_directory(dev: Dev, tmp_path: Path) -> None:
    inside = ROOT / "packages" / "etcd-kv"
    assert dev("test", cwd=tmp_path).stdout == f"python {ROOT} -m pytest\n"
    assert dev("test", cwd=inside).stdout == f"python {inside} -m pytest\n"


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_is_not_an_error(dev: Dev, arguments: list[str]) -> None:
    ended = dev(*arguments)
    assert (ended.stdout, ended.returncode) == ("usage\n", 0)


def release(*directories: Path) -> None:
    """Release this process's locks on environments, as its end would."""
    locks = [os.stat(f"{directory}.lock") for directory in directories]
    for descriptor in range(3, 256):
        with contextlib.suppress(OSError):
            if any(os.path.samestat(os.fstat(descriptor), lock) for lock in locks):
                os.close(descriptor)
