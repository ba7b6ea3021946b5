"""Fetches etcd servers of other versions than the embedded one, from Debian's packages.

python3 tools/etcd.py               all of them
python3 tools/etcd.py SUITE ...     those of some of Debian's suites: bookworm, trixie, sid
python3 tools/etcd.py --mirror URL  from this mirror of Debian, not from the one that apt uses

They come to .cache/etcd/<version>/, where they stay, and nothing is installed; each is printed as a
line `<version> <directory>`, which is what ETCD_BIN_DIR takes. apt fetches and verifies them, so
apt and a Debian mirror among its sources are needed. Only the standard library is imported.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SUITES", "Fetched", "UnavailableError", "apt_mirrors", "fetch"]

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".cache" / "etcd"

SUITES = {"bookworm": "3.4.23", "trixie": "3.5.16", "sid": "3.5.30"}
"""The version in each of Debian's suites at the time of writing; that of sid changes."""

PACKAGES = ("etcd-server", "etcd-client")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
LIMIT = 300.0
"""Seconds that one program may take."""


class UnavailableError(Exception):
    """The etcd cannot be fetched; the message has the reason."""


@dataclass(frozen=True)
class Fetched:
    """An etcd of .cache/etcd."""

    version: str
    directory: Path


def fetch(suite: str, *, mirror: str | None = None) -> Fetched:
    """Fetch the etcd of a suite, unless it is there already.

    Concurrent calls, of other processes too, wait for each other. Raises UnavailableError.
    """
    try:
        return _fetch(suite, mirror)
    except OSError as error:
        raise UnavailableError(f"it cannot be kept in {HOME}: {error}") from error


def _fetch(suite: str, mirror: str | None) -> Fetched:
    HOME.mkdir(parents=True, exist_ok=True)
    link = HOME / suite
    with _locked(HOME / f".{suite}.lock"):
        if not (link / "etcd").exists():
            for program in ("apt-get", "dpkg-deb"):
                if shutil.which(program) is None:
                    raise UnavailableError(f"there is no {program} on this machine")
            with tempfile.TemporaryDirectory(dir=HOME, prefix=f".{suite}-") as folder:
                _download_from_any([mirror] if mirror else apt_mirrors(), suite, Path(folder))
                _unpack(suite, Path(folder))
    return Fetched(os.readlink(link), link.resolve())


def apt_mirrors() -> list[str]:
    """The mirrors of Debian among the sources of this machine's apt.

    apt lists them itself, which works for every format of its sources and before its first update.
    A mirror of another vendor with a path like Debian's is listed too; apt refuses its signature.
    """
    listed = _run("apt-get", "update", "--print-uris")
    found = re.findall(r"^'(\S+/debian)/dists/[^']*/InRelease'", listed, re.MULTILINE)
    if not found:
        raise UnavailableError("apt has no mirror of Debian among its sources (see --mirror)")
    return list(dict.fromkeys(found))


def _download_from_any(mirrors: list[str], suite: str, folder: Path) -> None:
    complaints = []
    for mirror in mirrors:
        if (complaint := _download(suite, mirror, folder)) is None:
            return
        complaints.append(complaint)
    raise UnavailableError("; ".join(complaints))


def _download(suite: str, mirror: str, folder: Path) -> str | None:
    """Let apt download the packages into the folder; return its error message, or None."""
    for part in ("lists/partial", "cache/archives/partial", "debs"):
        shutil.rmtree(folder / part, ignore_errors=True)
        (folder / part).mkdir(parents=True)
    sources, status = folder / "sources.list", folder / "status"
    sources.write_text(f"deb [signed-by={KEYRING}] {mirror} {suite} main\n", encoding="utf-8")
    # apt must not prefer an installed etcd to that of the suite.
    status.touch()
    options = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::State::Status": status,
        "Dir::Cache": folder / "cache",
        # apt would change to a user who cannot access the caller's folder.
        "APT::Sandbox::User": "root",
        "APT::Update::Error-Mode": "any",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    apt = ["apt-get", "--quiet=2", *(f"--option={name}={value}" for name, value in options.items())]
    try:
        _run(*apt, "update")
        _run(*apt, "download", *PACKAGES, directory=folder / "debs")
    except UnavailableError as error:
        return f"{without_password(mirror)}: {error}"
    return None


def _unpack(suite: str, folder: Path) -> None:
    """Move the fetched programs to HOME/<version>, and link the suite to it."""
    unpacked, made = folder / "unpacked", folder / "made"
    made.mkdir()
    for deb in (folder / "debs").glob("*.deb"):
        _run("dpkg-deb", "--extract", str(deb), str(unpacked))
    (server,) = (folder / "debs").glob("etcd-server_*.deb")
    version = upstream_version(_run("dpkg-deb", "--field", str(server), "Version").strip())
    for program in (unpacked / "usr" / "bin").glob("etcd*"):
        shutil.copy2(program, made / program.name)
    directory = HOME / version
    # Another suite may have the same version.
    with _locked(HOME / ".lock"):
        if not (directory / "etcd").exists():
            shutil.rmtree(directory, ignore_errors=True)
            made.rename(directory)
    link = folder / "link"
    link.symlink_to(version)
    link.replace(HOME / suite)


def upstream_version(version: str) -> str:
    """`3.5.16` of Debian's `1:3.5.16-4+b1`."""
    return re.sub(r"^\d+:|[-+~].*$", "", version)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(*command: str, directory: Path | None = None) -> str:
    """Return a program's stdout; if it fails, raise UnavailableError with its stderr."""
    try:
        ended = subprocess.run(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{command[0]}: {error}") from error
    if ended.returncode != 0:
        said = ended.stderr.strip() or f"exit code {ended.returncode}"
        raise UnavailableError(f"{command[0]} {command[-1]}: {without_password(said)}")
    return ended.stdout


def without_password(text: str) -> str:
    """The text without the user and password of any address in it."""
    return re.sub(r"(?<=://)[^/\s@]+@", "", text)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fetch etcd servers from Debian's packages.")
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument("--mirror", metavar="URL", help="instead of the one that apt uses")
    options = parser.parse_args(arguments)
    for suite in options.suites:
        if suite not in SUITES:
            parser.error(f"{suite!r} is none of the suites {', '.join(SUITES)}")
    complete = [show(suite, options.mirror) for suite in options.suites or SUITES]
    return 0 if all(complete) else 1


def show(suite: str, mirror: str | None) -> bool:
    """Fetch an etcd and print its directory or the error; return whether it was fetched."""
    try:
        fetched = fetch(suite, mirror=mirror)
    except UnavailableError as error:
        print(f"etcd.py: no etcd {SUITES[suite]} of {suite}: {error}", file=sys.stderr)
        return False
    print(fetched.version, fetched.directory, flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
