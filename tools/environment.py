"""The environments of a clone: made once under .cache/, kept until what they are made of changes.

Only the standard library is imported here. An environment is a venv in
.cache/dev/<name>-<Python>-<digest>; the digest covers this file, the requirements, the metadata
of the packages, the Python and the clone's own place (editable installs hold it), so that a
change of any of them makes a new one, and the old one goes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import package_index

try:
    import fcntl
except ImportError:
    sys.exit("dev.py: a POSIX system is needed (Linux, macOS or WSL)")

__all__ = ["ROOT", "TESTS", "TOOLS", "Recipe", "clean_variables", "ensure", "python_of"]

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".cache" / "dev"
REQUIREMENTS = ROOT / "requirements"
CONSTRAINTS = REQUIREMENTS / "constraints.txt"
PIP = REQUIREMENTS / "pip.txt"


@dataclass(frozen=True)
class Recipe:
    """What an environment is made of."""

    name: str
    requirements: tuple[str, ...]
    """Files in requirements/."""
    packages: tuple[str, ...]
    """The clone's packages that are installed too, editable; "*" stands for all."""


TESTS = Recipe("tests", ("test.txt", "repository.txt"), packages=("*",))
TOOLS = Recipe("tools", ("tools.txt",), packages=())


def ensure(recipe: Recipe) -> Path:
    """The directory of the environment, made if it is not there.

    A lock on it is held until the process ends, also if it becomes another program: nobody
    removes an environment in use.
    """
    prefix = f"{recipe.name}-{sys.version_info.major}.{sys.version_info.minor}-"
    directory = HOME / f"{prefix}{digest(recipe)}"
    complete = directory / "complete"
    try:
        HOME.mkdir(parents=True, exist_ok=True)
        lock = os.open(f"{directory}.lock", os.O_RDWR | os.O_CREAT, 0o666)
        os.set_inheritable(lock, True)
        fcntl.flock(lock, fcntl.LOCK_SH)
        if not complete.exists():
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Another process may have made it while this one waited.
            if not complete.exists():
                remove_older(prefix, directory)
                shutil.rmtree(directory, ignore_errors=True)
                make(recipe, directory)
                complete.touch()
            fcntl.flock(lock, fcntl.LOCK_SH)
    except OSError as error:
        sys.exit(f"dev.py: cannot set up {directory}: {error}")
    return directory


def digest(recipe: Recipe) -> str:
    told = [sys.version, sys.base_prefix, str(ROOT)]
    files = [Path(__file__), PIP, CONSTRAINTS, REQUIREMENTS / "build.txt"]
    files += [REQUIREMENTS / name for name in recipe.requirements]
    files += package_files(recipe)
    told += [file.read_text(encoding="utf-8") for file in files]
    return hashlib.sha256("\0".join(told).encode()).hexdigest()[:12]


def remove_older(prefix: str, current: Path) -> None:
    """Removes this Python's environments of another digest, but for those in use."""
    for lock_file in HOME.glob(f"{prefix}*.lock"):
        directory = Path(str(lock_file).removesuffix(".lock"))
        if directory == current:
            continue
        with open(lock_file, "rb") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(directory, ignore_errors=True)


def make(recipe: Recipe, directory: Path) -> None:
    shown = directory.relative_to(ROOT)
    print(f"Setting up {shown} (once; well under a minute)", file=sys.stderr, flush=True)
    # Without pip at first: where a distribution has split ensurepip off, venv fails over it.
    venv.EnvBuilder(symlinks=True).create(directory)
    python = python_of(directory)
    if not has_ensurepip(python):
        with package_index.fetched_wheel(PIP.read_text(encoding="utf-8")) as wheel:
            pip(python, "--no-index", f"{wheel}", path=wheel)
    pip(python, "--requirement", f"{PIP}")
    constrained = ["--constraint", f"{CONSTRAINTS}"]
    wanted = [f"--requirement={REQUIREMENTS / name}" for name in recipe.requirements]
    if recipe.packages:
        pip(python, *constrained, "--requirement", f"{REQUIREMENTS / 'build.txt'}")
        # The backend is there now: one for all of them instead of a download for each.
        wanted += ["--no-build-isolation"]
        wanted += [f"--editable={path.parent}" for path in package_files(recipe)]
    pip(python, *constrained, *wanted)


def package_files(recipe: Recipe) -> list[Path]:
    patterns = [f"packages/{name}/pyproject.toml" for name in recipe.packages]
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def has_ensurepip(python: Path) -> bool:
    """Puts the pip that came with Python into the environment; False if none came with it."""
    command = [str(python), "-m", "ensurepip", "--default-pip"]
    found = subprocess.run(
        command, env=clean_variables(), stdin=subprocess.DEVNULL, capture_output=True
    )
    return found.returncode == 0


def pip(python: Path, *arguments: str, path: Path | None = None) -> None:
    """`pip install` in the environment, by the wheel at `path` where there is no pip in it yet."""
    variables = clean_variables()
    if path is not None:
        variables["PYTHONPATH"] = str(path)
    # Twice quiet: warnings of the index would hide what is said here; errors are still shown.
    options = ["-qq", "--no-input", "--no-user", "--disable-pip-version-check"]
    command = [str(python), "-m", "pip", "install", *options, *arguments]
    if subprocess.run(command, env=variables, stdin=subprocess.DEVNULL).returncode != 0:
        sys.exit(
            "dev.py: pip could not install what is needed; what it says stands above"
            " (pip's own configuration holds here: PIP_INDEX_URL, pip.conf, proxies)"
        )


def python_of(directory: Path) -> Path:
    return directory / "bin" / "python"


def clean_variables() -> dict[str, str]:
    """This process's variables, less those that would take Python or pip out of an environment."""
    strays = {
        "PYTHONHOME",
        "PYTHONPATH",
        "PIP_PREFIX",
        "PIP_ROOT",
        "PIP_TARGET",
        "PIP_USER",
        "VIRTUAL_ENV",
        "__PYVENV_LAUNCHER__",
    }
    return {name: value for name, value in os.environ.items() if name not in strays}
