"""The tools for a new contributor's first steps, and those for releases."""

from __future__ import annotations

import ast
import base64
import hashlib
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import package_index
import pytest
import workspace
from workspace import ROOT

WHEEL = b"no wheel, but bytes with a digest"
DIGEST = hashlib.sha256(WHEEL).hexdigest()
AUTHORIZATION = "Basic " + base64.b64encode(b"user:p@ss").decode()
PAGES = {
    "/simple/pip/": b'<a href="../../files/pip-9.9-py3-none-any.whl#sha256=0">pip</a>',
    "/files/pip-9.9-py3-none-any.whl": WHEEL,
}


class Index(BaseHTTPRequestHandler):
    """A package index behind a password that has one file, by a relative link."""

    def do_GET(self) -> None:
        allowed = self.headers.get("Authorization") == AUTHORIZATION
        status = 401 if not allowed else 200 if self.path in PAGES else 404
        self.send_response(status)
        self.end_headers()
        if status == 200:
            self.wfile.write(PAGES[self.path])

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing between pytest's output."""


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The host and port of an index that pip is configured to use."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        host = f"127.0.0.1:{server.server_port}"
        monkeypatch.setenv("PIP_INDEX_URL", f"http://user:p%40ss@{host}/simple/")
        monkeypatch.setenv("no_proxy", "*")
        yield host
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("index")
def test_pip_is_fetched_from_the_configured_index_with_its_password() -> None:
    with package_index.fetched_wheel(f"pip==9.9 --hash=sha256:{DIGEST}\n") as wheel:
        assert wheel.name == "pip-9.9-py3-none-any.whl"
        assert wheel.read_bytes() == WHEEL
    assert not wheel.exists()


@pytest.mark.usefixtures("index")
def test_a_pip_of_another_digest_is_refused() -> None:
    with (
        pytest.raises(SystemExit, match="another sha256"),
        package_index.fetched_wheel(f"pip==9.9 --hash=sha256:{'0' * 64}\n"),
    ):
        pass


@pytest.mark.usefixtures("index")
def test_a_pip_that_is_missing_in_the_index_is_named() -> None:
    with (
        pytest.raises(SystemExit, match=r"no pip-9\.8-py3-none-any\.whl"),
        package_index.fetched_wheel(f"pip==9.8 --hash=sha256:{DIGEST}\n"),
    ):
        pass


def test_the_error_of_an_index_is_one_line_without_its_password(
    index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"http://user:wrong@{index}/simple/")
    with (
        pytest.raises(SystemExit, match="could not be fetched") as refused,
        package_index.fetched_wheel(f"pip==9.9 --hash=sha256:{DIGEST}\n"),
    ):
        pass
    assert "wrong" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_uv_sees_the_indexes_that_pip_is_configured_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = tmp_path / "pip.conf"
    configuration.write_text(
        "[global]\nindex-url = https://one.test/simple\nextra_index_url =\n  https://two.test\n"
        "  https://three.test\nfind-links = wheels more\n"
        "[install]\ncert = authority.pem\n",
        encoding="utf-8",
    )
    for name in ("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "CERT"):
        monkeypatch.delenv(f"PIP_{name}", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))
    seen = package_index.for_uv({})
    assert seen["UV_DEFAULT_INDEX"] == "https://one.test/simple"
    assert seen["UV_INDEX"].split() == ["https://two.test", "https://three.test"]
    assert seen["UV_FIND_LINKS"] == "wheels,more"
    assert seen["SSL_CERT_FILE"] == "authority.pem"

    monkeypatch.setenv("PIP_INDEX_URL", "https://stronger.test/simple")
    assert package_index.for_uv({})["UV_DEFAULT_INDEX"] == "https://stronger.test/simple"
    assert "UV_DEFAULT_INDEX" not in package_index.for_uv({"UV_DEFAULT_INDEX": "own"})


def test_a_package_needs_the_siblings_of_its_siblings() -> None:
    names = [package.name for package in workspace.closure("etcd-lock")]
    assert set(names) == {"etcd-channel", "etcd-kv", "etcd-lease", "etcd-watch", "etcd-lock"}
    assert (names[0], names[-1]) == ("etcd-channel", "etcd-lock")


def test_each_package_comes_after_its_dependencies() -> None:
    placed: set[str] = set()
    for package in workspace.packages().values():
        siblings = set(package.dependencies) & workspace.packages().keys()
        assert siblings <= placed
        placed.add(package.name)


def test_an_older_python_can_run_the_check_of_its_version() -> None:
    source = (ROOT / "tools" / "dev.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 7))
    asked, imported = (source.index(word) for word in ("sys.version_info <", "import commands"))
    assert asked < imported


@pytest.mark.parametrize("arguments", [["nonsense"], ["run"]])
def test_a_wrong_command_prints_the_usage(arguments: list[str]) -> None:
    ended = run(sys.executable, ROOT / "tools" / "dev.py", *arguments)
    assert ended.returncode == 1
    assert ended.stderr.startswith("dev.py: ")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the packages and the tools, to be changed."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("packages", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    changelog = "# Changelog\n\n## Unreleased: 9.9.9\n\n- etcd-kv: new.\n\n## 0.0.1 (2026-01-01)\n"
    (tmp_path / "CHANGELOG.md").write_text(changelog, encoding="utf-8")
    return tmp_path


@pytest.fixture
def versions(copy: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    return lambda *arguments: run(sys.executable, copy / "tools" / "versions.py", *arguments)


def test_a_version_is_set_in_every_place(
    copy: Path, versions: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    assert versions("7.8.9rc1").returncode == 0
    assert versions("--check").returncode == 0
    for package in workspace.packages().values():
        text = (copy / "packages" / package.name / "pyproject.toml").read_text(encoding="utf-8")
        assert 'version = "7.8.9rc1"' in text
        assert f"=={package.version}" not in text


def test_a_release_gives_the_changelog_its_heading(
    copy: Path, versions: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    assert versions("7.8.9").returncode == 0
    first, second = re.findall(
        r"^## (.*)$", (copy / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert re.fullmatch(r"7\.8\.9 \(\d{4}-\d{2}-\d{2}\)", first)
    assert second == "0.0.1 (2026-01-01)"


def test_a_release_without_a_word_in_the_changelog_changes_nothing(
    copy: Path, versions: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (copy / "CHANGELOG.md").write_text("# Changelog\n\n## 0.0.1\n", encoding="utf-8")
    ended = versions("7.8.9")
    assert ended.returncode == 1
    assert ended.stdout.startswith("CHANGELOG.md: the heading '## Unreleased' stands there 0 times")
    version = workspace.packages()["etcd-kv"].version
    text = (copy / "packages" / "etcd-kv" / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{version}"' in text


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("packages/etcd-lock/pyproject.toml", "etcd-kv==", "etcd-kv>="),
        ("packages/etcd-lock/pyproject.toml", "etcd-kv==", "etcd-kv==9."),
        ("packages/etcd-auth/pyproject.toml", '\nversion = "', '\nversion = "9.'),
        ("packages/etcd-kv/src/etcd_kv/__init__.py", '__version__ = "', '__version__ = "9.'),
        ("packages/etcd-kv/src/etcd_kv/__init__.py", '__version__ = "', 'version = "'),
    ],
)
def test_a_version_that_deviates_is_named(
    copy: Path,
    versions: Callable[..., subprocess.CompletedProcess[str]],
    file: str,
    old: str,
    new: str,
) -> None:
    path = copy / file
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    checked = versions("--check")
    assert checked.returncode == 1
    (complaint,) = checked.stdout.splitlines()
    assert complaint.startswith(f"{file}: ")


@pytest.mark.parametrize("arguments", [["1"], ["v1.2.3"], [], ["1.2.3", "--check"]])
def test_a_wrong_version_changes_nothing(
    versions: Callable[..., subprocess.CompletedProcess[str]], arguments: list[str]
) -> None:
    assert versions(*arguments).returncode == 2
    assert versions("--check").returncode == 0


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)
