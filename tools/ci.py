"""Runs every check that a change has to pass: `bash .ci/run`.

.ci/run             run every step; at the end repeat what failed, with the failed tests
.ci/run STEP ...    run some
.ci/run --list      name them

The exit code is 0 if every step passed or was skipped, 1 if one failed or does not exist, 2 if the
command is wrong, and 130 if the run was interrupted. CI_LANES says how many steps run at a time.
Where this machine lacks a Python or an etcd, a step uses another or is skipped, which is printed in
capital letters.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import ci_steps
import lanes
from ci_steps import MADE, ROOT

__all__ = ["main", "run"]

# They would change which Python, which packages or which etcd is tested.
STRAYS = ("ETCD_BIN_DIR", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "PYTEST_ADDOPTS")
SET = {
    "CI": "true",
    # A package index that does not answer for some minutes must not fail a step.
    "PIP_DEFAULT_TIMEOUT": "60",
    "PIP_RETRIES": "8",
    "PYTHONUNBUFFERED": "1",
    "UV_HTTP_RETRIES": "8",
    "UV_HTTP_TIMEOUT": "60",
    "UV_NO_PROGRESS": "1",
    "UV_PYTHON_DOWNLOADS": "never",
}


def main(arguments: list[str]) -> str | int:
    os.chdir(ROOT)
    steps = [
        lanes.Step(name, (sys.executable, str(ROOT / "tools" / "ci_steps.py"), name))
        for name in ci_steps.steps()
    ]
    if arguments[:1] == ["--list"]:
        print("\n".join(step.name for step in steps))
        return 0
    if arguments and arguments[0].startswith("-"):
        print((__doc__ or "").strip())
        return 0 if arguments[0] in ("-h", "--help") else 2
    try:
        at_a_time = number_of_lanes(os.environ)
    except ValueError as error:
        print(f".ci/run: {error}", file=sys.stderr)
        return 2
    for name in STRAYS:
        os.environ.pop(name, None)
    os.environ.update(SET)
    try:
        MADE.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f".ci/run: the clone cannot be written to: {error}", file=sys.stderr)
        return 2
    return run(steps, arguments, at_a_time=at_a_time, logs=MADE)


def run(steps: list[lanes.Step], wanted: Iterable[str], *, at_a_time: int, logs: Path) -> int:
    """Run the wanted steps, all of them if none is named; the exit code of the run."""
    began = time.monotonic()
    wanted = list(wanted)
    chosen = [step for step in steps if not wanted or step.name in wanted]
    unknown = [name for name in dict.fromkeys(wanted) if name not in {s.name for s in steps}]
    logs.mkdir(parents=True, exist_ok=True)
    for log in logs.glob("*.log"):
        log.unlink()
    ended = lanes.run(chosen, lanes=at_a_time, logs=logs)
    for name in unknown:
        print(lanes.loud(f"THERE IS NO STEP {name}"))
    print("\n".join(lanes.closing_lines(ended, unknown, time.monotonic() - began)), flush=True)
    return 1 if unknown or any(one.failed for one in ended) else 0


def number_of_lanes(variables: Mapping[str, str]) -> int:
    """CI_LANES, or two for each processor: the tests wait for half of their time.

    With many more, tests fail that give a server some seconds to answer.
    """
    text = variables.get("CI_LANES", "")
    if not text:
        return (os.cpu_count() or 1) * 2
    if not text.isascii() or not text.isdigit() or not int(text):
        raise ValueError(f"CI_LANES is {text!r}; it must be a whole number from 1 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
