"""`.ci/run`: its steps, and how they run in parallel.

These tests may be part of a step themselves: they run small programs in a directory of their own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ci
import ci_steps
import etcd
import lanes
import pytest
from workspace import ROOT, packages

HANG = 60.0
"""The timeout of a test that hangs; nothing is measured by it."""

DRIVER = """
import json, pathlib, sys
import ci, lanes
programs, at_a_time, logs, *wanted = sys.argv[1:]
steps = [lanes.Step(name, (sys.executable, "-c", program))
         for name, program in json.loads(programs).items()]
sys.exit(ci.run(steps, wanted, at_a_time=int(at_a_time), logs=pathlib.Path(logs)))
"""

STAYS = "import signal, time; signal.pthread_sigmask(signal.SIG_BLOCK, {15}); time.sleep(600)"
"""A program that does not end when it is asked to."""


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., list[str]]:
    """Returns the command that runs programs as steps."""

    def command(programs: Mapping[str, str], *wanted: str, at_a_time: int = 2) -> list[str]:
        arguments = [json.dumps(programs), str(at_a_time), str(tmp_path / "logs"), *wanted]
        return [sys.executable, "-c", DRIVER, *arguments]

    return command


@pytest.fixture
def run_steps(command: Callable[..., list[str]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs them to the end; each step says "(0 s)", however long it took."""

    def run_steps(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            command(*arguments, **options),
            env=variables(),
            capture_output=True,
            text=True,
            timeout=HANG,
        )
        ended.stdout = re.sub(r"\(\d+ s\)", "(0 s)", ended.stdout)
        return ended

    return run_steps


def variables() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "tools")}


Run = Callable[..., subprocess.CompletedProcess[str]]


def test_a_run_ends_with_the_passed_skipped_and_failed_steps(run_steps: Run) -> None:
    ended = run_steps(
        {
            "good": "print('all is well')",
            "bad": "import sys; print('it is broken\\n', file=sys.stderr); sys.exit(3)",
            "lacking": "import sys; sys.exit(77)",
        },
        at_a_time=1,
    )
    assert ended.returncode == 1
    assert ended.stderr == ""
    lines = ended.stdout.splitlines()
    assert [line.split(" (")[0] for line in lines[-5:-1]] == [
        "passed   good",
        "SKIPPED  lacking",
        "FAILED   bad",
        "           it is broken",
    ]
    assert lines[-1] == "steps: 1 passed, 1 failed, 1 skipped"
    assert "!!!!!!!! FAILED: bad (0 s), exit code 3 !!!!!!!!" in lines
    assert "!!!!!!!! SKIPPED: lacking (0 s) !!!!!!!!" in lines
    assert {"all is well", "it is broken"} <= set(lines)


def test_a_run_ends_with_the_last_lines_and_the_failed_tests_of_its_failed_steps(
    run_steps: Run,
) -> None:
    suite = """
for number in range(100):
    print("line", number)
print("FAILED tests/test_a.py::test_one[x] - AssertionError: " + "x" * 1000)
print("ERROR tests/test_a.py::test_two")
print("FAILED: no test of this name")
for number in range(100, 150):
    print("line", number)
print("2 failed, 500 passed in 600 s")
raise SystemExit(1)
"""
    ended = run_steps({"suite": suite, "good": "print('all is well')"}, at_a_time=1)
    _, _, repeated = ended.stdout.partition("================ the end of suite (0 s)\n")
    lines = repeated.splitlines()
    assert lines[:30] == [
        *(f"line {number}" for number in range(121, 150)),
        "2 failed, 500 passed in 600 s",
    ]
    failed, one, two, count = lines[-4:]
    assert failed == "FAILED   suite (0 s)"
    assert one.strip().startswith("FAILED tests/test_a.py::test_one[x] - AssertionError: xxx")
    assert len(one) < 500
    assert two.strip() == "ERROR tests/test_a.py::test_two"
    assert count == "steps: 1 passed, 1 failed, 0 skipped"
    assert "all is well" not in repeated


def test_of_very_many_failed_tests_the_end_of_a_run_names_some_and_their_number(
    run_steps: Run,
) -> None:
    suite = """
for number in range(1000):
    print(f"FAILED tests/test_a.py::test_{number}")
raise SystemExit(1)
"""
    lines = run_steps({"suite": suite}).stdout.splitlines()
    summary = lines[lines.index("FAILED   suite (0 s)") :]
    assert summary[1].strip() == "FAILED tests/test_a.py::test_0"
    assert len(summary) < 50
    assert summary[-2].strip() == f"and {1000 - len(summary[1:-2])} more"


def test_a_run_without_failures_succeeds(run_steps: Run) -> None:
    assert run_steps({"good": "", "lacking": "import sys; sys.exit(77)"}).returncode == 0


def test_some_steps_are_run_in_the_order_of_all(run_steps: Run) -> None:
    programs = dict.fromkeys(["one", "two", "three", "four"], "")
    ended = run_steps(programs, "four", "two", "one", at_a_time=1)
    started = [line for line in ended.stdout.splitlines() if line.startswith("starting ")]
    assert started == ["starting one", "starting two", "starting four"]
    assert ended.stdout.endswith("steps: 3 passed, 0 failed, 0 skipped\n")


def test_an_unknown_step_fails_and_the_others_run(run_steps: Run) -> None:
    ended = run_steps({"good": ""}, "good", "nonsense")
    assert ended.returncode == 1
    assert "!!!!!!!! THERE IS NO STEP nonsense !!!!!!!!" in ended.stdout
    assert "FAILED   nonsense\n" in ended.stdout
    assert ended.stdout.endswith("steps: 1 passed, 1 failed, 0 skipped\n")


def test_at_most_one_step_runs_in_each_lane(run_steps: Run, tmp_path: Path) -> None:
    program = """
import os, pathlib, time
running = pathlib.Path(RUNNING)
own = running / str(os.getpid())
own.touch()
print("at a time:", len(list(running.iterdir())))
time.sleep(0.05)
own.unlink()
""".replace("RUNNING", repr(str(tmp_path / "running")))
    (tmp_path / "running").mkdir()
    ended = run_steps({f"step-{number}": program for number in range(7)}, at_a_time=3)
    counts = [line for line in ended.stdout.splitlines() if line.startswith("at a time:")]
    assert len(counts) == 7
    assert set(counts) <= {"at a time: 1", "at a time: 2", "at a time: 3"}


def test_every_lane_runs_a_step(run_steps: Run, tmp_path: Path) -> None:
    """Each waits for the other to open a FIFO."""
    os.mkfifo(tmp_path / "meeting")
    path = repr(str(tmp_path / "meeting"))
    ended = run_steps({"reader": f"open({path}).read()", "writer": f"open({path}, 'w').close()"})
    assert ended.returncode == 0


def test_the_output_of_a_step_is_shown_in_one_piece(run_steps: Run, tmp_path: Path) -> None:
    for name in ("there", "back"):
        os.mkfifo(tmp_path / name)
    there, back = (repr(str(tmp_path / name)) for name in ("there", "back"))
    # The first prints, then the second, then the first again.
    one = f"print('one'); open({there}, 'w').close(); open({back}).close(); print('again')"
    other = f"open({there}).close(); print('other', flush=True); open({back}, 'w').close()"
    ended = run_steps({"one": one, "other": other})
    assert "================ one\none\nagain\n" in ended.stdout
    assert "================ other\nother\n" in ended.stdout


def test_output_that_is_not_text_is_shown_unchanged(command: Callable[..., list[str]]) -> None:
    programs = {"one": r"import sys; sys.stdout.buffer.write(b'\xff\xfe')"}
    ended = subprocess.run(command(programs), env=variables(), capture_output=True, timeout=HANG)
    assert ended.returncode == 0
    assert b"\xff\xfe" in ended.stdout


def test_a_killed_step_fails(run_steps: Run) -> None:
    ended = run_steps({"killed": "import os; os.kill(os.getpid(), 9)"})
    assert ended.returncode == 1
    assert "FAILED: killed (0 s), killed by SIGKILL" in ended.stdout


def test_a_step_whose_program_is_missing_fails(tmp_path: Path) -> None:
    (ended,) = lanes.run([lanes.Step("lost", ("/no/such/program",))], lanes=1, logs=tmp_path)
    assert ended.status == 127
    assert "No such file" in (tmp_path / "lost.log").read_text(encoding="utf-8")


def test_a_step_reads_nothing_from_the_terminal(run_steps: Run) -> None:
    ended = run_steps({"asking": "import sys; print('read', repr(sys.stdin.read()))"})
    assert "read ''\n" in ended.stdout


class Holders:
    """Programs that keep a FIFO open for writing until they end."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(self._reading, True)

    def program(self, body: str) -> str:
        """A program that opens the FIFO, writes a byte and keeps running."""
        return (
            "import os, subprocess, sys\n"
            f"held = os.open({str(self.path)!r}, os.O_WRONLY)\n"
            "os.set_inheritable(held, True)\n"
            f"child = subprocess.Popen([sys.executable, '-c', {STAYS!r}], close_fds=False)\n"
            "os.write(held, b'x')\n"
            f"{body}\n"
        )

    def wait_for(self, count: int) -> None:
        while count:
            count -= len(os.read(self._reading, count))

    def are_gone(self) -> bool:
        """Wait until no process has the FIFO open; True if that happens."""
        return os.read(self._reading, 1) == b""

    def close(self) -> None:
        os.close(self._reading)


@pytest.fixture
def holders(tmp_path: Path) -> Iterator[Holders]:
    holders = Holders(tmp_path / "held")
    yield holders
    holders.close()


def test_the_processes_of_a_step_end_with_it(run_steps: Run, holders: Holders) -> None:
    assert run_steps({"forgetful": holders.program("")}).returncode == 0
    holders.wait_for(1)
    assert holders.are_gone()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_leaves_no_process(
    command: Callable[..., list[str]], holders: Holders, number: signal.Signals
) -> None:
    programs = {name: holders.program("child.wait()") for name in ("one", "two", "three")}
    with subprocess.Popen(
        command(programs), env=variables(), stdout=subprocess.PIPE, text=True
    ) as process:
        holders.wait_for(2)
        process.send_signal(number)
        stdout, _ = process.communicate(timeout=HANG)
    assert process.returncode == lanes.INTERRUPTED
    assert holders.are_gone()
    assert "starting three" not in stdout


# The steps ----------------------------------------------------------------------------------


def test_every_step_is_listed() -> None:
    listed = run_ci(ROOT, "--list").stdout.split()
    assert listed == list(ci_steps.steps())
    assert {f"alone-{name}" for name in packages()} <= set(listed)


def test_the_readme_steps_run_the_first_two_blocks_of_the_readme() -> None:
    assert [block.split()[2] for block in ci_steps.readme_commands()[:2]] == ["demo", "test"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of .ci and tools, in which no other run is in progress."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in (".ci", "tools"):
        shutil.copytree(ROOT / name, tmp_path / "copy" / name, ignore=ignored)
    return tmp_path / "copy"


def test_the_named_steps_are_run(copy: Path) -> None:
    ended = run_ci(copy, "nonsense", "readme-test")
    assert ended.returncode == 1
    # The copy has no README.
    assert "FAILED   readme-test" in ended.stdout
    assert "FAILED   nonsense" in ended.stdout
    assert ended.stdout.endswith("steps: 0 passed, 2 failed, 0 skipped\n")


@pytest.mark.parametrize("number", ["0", "-1", "two", "1.5"])
def test_a_wrong_number_of_lanes_is_refused(copy: Path, number: str) -> None:
    ended = run_ci(copy, "lint", CI_LANES=number)
    assert ended.returncode == 2
    assert ended.stderr == f".ci/run: CI_LANES is {number!r}; it must be a whole number from 1 on\n"


def test_the_number_of_lanes_can_be_set() -> None:
    assert ci.number_of_lanes({"CI_LANES": "4"}) == 4
    assert ci.number_of_lanes({}) > (os.cpu_count() or 1)


def test_an_unknown_option_prints_the_usage(copy: Path) -> None:
    assert run_ci(copy, "--nonsense").returncode == 2
    assert run_ci(copy, "--help").returncode == 0


def test_a_read_only_clone_is_reported_in_one_line(copy: Path) -> None:
    (copy / ".cache").write_text("no directory\n")
    ended = run_ci(copy, "lint")
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith(".ci/run: the clone cannot be written to: ")


def test_a_step_whose_etcd_is_missing_is_skipped_visibly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(etcd, "HOME", tmp_path / "etcd")
    with pytest.raises(ci_steps.SkippedError, match=r"NO ETCD 3\.4\.23: IT CANNOT BE FETCHED HERE"):
        ci_steps.fetched_etcd("bookworm")
    assert "there is no apt-get on this machine" in capsys.readouterr().out


def test_a_step_whose_interpreter_is_missing_is_skipped_visibly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = tmp_path / "python9.9"
    shim.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setattr(ci_steps, "program", lambda name: Path("/bin/false"))
    with pytest.raises(ci_steps.SkippedError, match=r"NO PYTHON 9\.9 ON THIS MACHINE"):
        ci_steps.find_python("9.9")


@pytest.mark.parametrize("lacking", ["python", "etcd", "nothing"])
def test_a_step_uses_another_python_or_etcd_than_the_one_that_is_missing(
    lacking: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ci_steps, "find_python", lacks_or("python", lacking))
    monkeypatch.setattr(ci_steps, "fetched_etcd", lacks_or("etcd", lacking))
    python, variables = ci_steps.python_and_etcd("3.10", "bookworm")
    assert python == (sys.executable if lacking == "python" else "3.10")
    assert variables == ({} if lacking == "etcd" else {"ETCD_BIN_DIR": "bookworm"})
    warned = f"!!!!!!!! NO {lacking}: TESTED ON ANOTHER !!!!!!!!" in capsys.readouterr().out
    assert warned == (lacking != "nothing")


def test_a_step_whose_python_and_etcd_are_both_missing_is_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ci_steps, "find_python", lacks_or("python", "python"))
    monkeypatch.setattr(ci_steps, "fetched_etcd", lacks_or("etcd", "etcd"))
    with pytest.raises(ci_steps.SkippedError, match="NO python; NO etcd"):
        ci_steps.python_and_etcd("3.10", "bookworm")


def lacks_or(kind: str, lacking: str) -> Callable[[str], str]:
    """Return a search that returns the name it is given, or lacks what it looks for."""

    def find(name: str) -> str:
        if kind == lacking:
            raise ci_steps.SkippedError(f"NO {kind}")
        return name

    return find


def test_a_skipped_step_has_its_own_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def lack() -> None:
        raise ci_steps.SkippedError("NO PATIENCE")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ci_steps, "MADE", tmp_path / "made")
    monkeypatch.setattr(ci_steps, "steps", lambda: {"lacking": lack})
    assert ci_steps.main(["lacking"]) == lanes.SKIP
    assert "!!!!!!!! NO PATIENCE !!!!!!!!" in capsys.readouterr().out


@pytest.mark.parametrize("status", [1, 5, 77])
def test_a_failing_program_fails_its_step_with_its_exit_code(status: int) -> None:
    """pytest exits with 5 if it has found no test."""
    with pytest.raises(SystemExit) as ended:
        ci_steps.run(sys.executable, "-c", f"import sys; sys.exit({status})")
    assert ended.value.code == status


def test_a_program_that_hangs_fails_its_step(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        ci_steps.run(sys.executable, "-c", "import time; time.sleep(600)", limit=0.05)
    assert ended.value.code == ci_steps.OVERDUE
    assert "STILL RUNNING" in capsys.readouterr().out


def test_what_each_tool_can_check_is_checked_by_a_step() -> None:
    steps = (ROOT / "tools" / "ci_steps.py").read_text(encoding="utf-8")
    able = {
        path.name
        for path in (ROOT / "tools").glob("*.py")
        if re.search(r"add_argument\(\s*\"--check\"", path.read_text(encoding="utf-8"))
    }
    assert {"constraints.py", "sync_client.py"} <= able
    # test_repo_public_names.py compares the public names.
    missing = {name for name in able if f'"{name}", "--check"' not in steps}
    assert missing == {"public_names.py"}


def run_ci(place: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(place / ".ci" / "run"), *arguments],
        env={**os.environ, "CI_LANES": "", **variables},
        capture_output=True,
        text=True,
        timeout=HANG,
    )
