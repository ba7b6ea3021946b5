"""The environments of a clone: made once under .cache/, kept until their recipe changes.

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

__all__ = [
    "COVERAGE",
    "DOCS",
    "ROOT",
    "TESTS",
    "TOOLS",
    "TYPES",
    "Recipe",
    "clean_variables",
    "ensure",
    "python_of",
    "with_extra",
]

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".cache" / "dev"
REQUIREMENTS = ROOT / "requirements"
CONSTRAINTS = REQUIREMENTS / "constraints.txt"
PIP = REQUIREMENTS / "pip.txt"


@dataclass(frozen=True)
class Recipe:
    """The recipe of an environment."""

    name: str
    requirements: tuple[str, ...]
    """Files in requirements/."""
    packages: tuple[str, ...]
    """The clone's packages that are installed too, editable; "*" stands for all."""


TESTS = Recipe("tests", ("test.txt", "repository.txt"), packages=("*",))
COVERAGE = Recipe("coverage", (*TESTS.requirements, "coverage.txt"), packages=("*",))
DOCS = Recipe("docs", ("docs.txt",), packages=())
TYPES = Recipe("types", (*TESTS.requirements, "types.txt"), packages=("*",))
TOOLS = Recipe("tools", ("tools.txt",), packages=())


def ensure(recipe: Recipe) -> Path:
    """Return the directory of the environment; make it if it does not exist.

    A shared lock is held on it until the process ends, also after exec: an environment in use is
    not removed.
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
    contents = [sys.version, sys.base_prefix, str(ROOT)]
    files = [Path(__file__), PIP, CONSTRAINTS, REQUIREMENTS / "build.txt"]
    files += [REQUIREMENTS / name for name in recipe.requirements]
    files += package_files(recipe)
    contents += [file.read_text(encoding="utf-8") for file in files]
    return hashlib.sha256("\0".join(contents).encode()).hexdigest()[:12]


def remove_older(prefix: str, current: Path) -> None:
    """Remove this Python's environments of another digest, except those in use."""
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
    # Without pip: venv fails with it where a distribution has moved ensurepip to another package.
    venv.EnvBuilder(symlinks=True).create(directory)
    python = python_of(directory)
    if not has_ensurepip(python):
        with package_index.fetched_wheel(PIP.read_text(encoding="utf-8")) as wheel:
            pip(python, "--no-index", f"{wheel}", path=wheel)
    pip(python, "--requirement", f"{PIP}")
    constraints = directory / "constraints.txt"
    constraints.write_text(constraints_of(recipe), encoding="utf-8")
    constrained = ["--constraint", f"{constraints}"]
    wanted = [f"--requirement={REQUIREMENTS / name}" for name in recipe.requirements]
    if recipe.packages:
        pip(python, *constrained, "--requirement", f"{REQUIREMENTS / 'build.txt'}")
        # The build backend is installed once, not downloaded for each package.
        wanted += ["--no-build-isolation"]
        wanted += [f"--editable={with_extra(path.parent)}" for path in package_files(recipe)]
    pip(python, *constrained, *wanted)


def constraints_of(recipe: Recipe) -> str:
    """Return the repository's constraints, without those for packages that the recipe pins."""
    files = [REQUIREMENTS / name for name in recipe.requirements]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    own = {line.partition("==")[0].strip() for line in lines if "==" in line}
    pinned = CONSTRAINTS.read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in pinned if line.partition("==")[0] not in own)


def package_files(recipe: Recipe) -> list[Path]:
    patterns = [f"packages/{name}/pyproject.toml" for name in recipe.packages]
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


def with_extra(directory: Path) -> str:
    """The argument of pip for a package: the tests use etcd_testing.played."""
    return f"{directory}[played]" if directory.name == "etcd-testing" else f"{directory}"


def has_ensurepip(python: Path) -> bool:
    """Install the pip that came with Python into the environment; return whether one came."""
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
    # Twice quiet: pip's warnings are suppressed, its errors are not.
    options = ["-qq", "--no-input", "--no-user", "--disable-pip-version-check"]
    command = [str(python), "-m", "pip", "install", *options, *arguments]
    if subprocess.run(command, env=variables, stdin=subprocess.DEVNULL).returncode != 0:
        problem = "pip could not install the requirements; see its messages above"
        if (reason := package_index.why_unreachable()) is not None:
            problem = f"the package index does not answer: {reason}"
        sys.exit(
            f"dev.py: {problem}"
            " (pip's own configuration holds here: PIP_INDEX_URL, pip.conf, proxies)"
        )


def python_of(directory: Path) -> Path:
    return directory / "bin" / "python"


def clean_variables() -> dict[str, str]:
    """Return the environment variables, without those that affect Python or pip there."""
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
