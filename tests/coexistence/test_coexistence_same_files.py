"""Two distributions of the package index install files where etcd-client does.

pip overwrites such files without a word, and removes them with either distribution. These tests
install the real ones by pip, in both orders, beside the built wheel.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import package_index
import pytest
from hatchling.builders.wheel import WheelBuilder
from workspace import packages

pytestmark = pytest.mark.peers

LIMIT = 300.0
AETCD, ETCD_CLIENT_PY = "aetcd==1.0.0", "etcd-client-py==0.5.1"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> str:
    builder = WheelBuilder(str(packages()["etcd-client"].directory))
    (built,) = builder.build(directory=str(tmp_path_factory.mktemp("wheel")))
    return str(built)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An environment that has of its own what pip installs there, and the rest from this one."""
    venv.EnvBuilder(symlinks=True).create(tmp_path)
    (site,) = tmp_path.glob("lib/python*/site-packages")
    this = Path(pytest.__file__).parents[1]
    siblings = [one.directory / "src" for one in packages().values() if one.name != "etcd-client"]
    # They come after the environment's own directory.
    (site / "rest.pth").write_text("".join(f"{path}\n" for path in [this, *siblings]))
    return tmp_path


@pytest.fixture
def pip(place: Path) -> Run:
    def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pip", "--python", str(place), "-qq", *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
        if ended.returncode != 0 and not package_index.is_reachable():
            pytest.skip("THE PACKAGE INDEX CANNOT BE REACHED")
        assert ended.returncode == 0, ended.stderr
        return ended

    return pip


@pytest.fixture
def python(place: Path) -> Run:
    def python(program: str) -> subprocess.CompletedProcess[str]:
        command = [str(place / "bin" / "python"), "-W", "always::ImportWarning", "-c", program]
        return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)

    return python


def install(pip: Run, *wanted: str) -> None:
    for one in wanted:
        pip("install", "--no-deps", "--ignore-installed", one)


@pytest.mark.parametrize("order", ["first", "last"])
def test_aetcd_is_named_by_etcd_client_and_missed_when_it_took_its_files_along(
    order: str, wheel: str, pip: Run, python: Run
) -> None:
    install(pip, *([AETCD, wheel] if order == "first" else [wheel, AETCD]))
    said = python("import etcd_client").stderr
    assert "ImportWarning: aetcd 1.0.0 is installed beside etcd-client" in said

    pip("uninstall", "--yes", "aetcd")
    said = python("import etcd_client").stderr
    assert "ImportWarning: the module aetcd of etcd-client is not complete" in said

    pip("install", "--no-deps", "--force-reinstall", wheel)
    ended = python("import aetcd, etcd_client; print(aetcd.Client is etcd_client.Client)")
    assert (ended.stdout, ended.stderr) == ("True\n", "")


@pytest.mark.parametrize("order", ["first", "last"])
def test_etcd_client_py_is_named_by_what_is_left_of_ours(
    order: str, wheel: str, pip: Run, python: Run
) -> None:
    install(pip, *([ETCD_CLIENT_PY, wheel] if order == "first" else [wheel, ETCD_CLIENT_PY]))
    said = python("import aetcd").stderr
    if order == "first":
        assert "ImportWarning: etcd-client-py 0.5.1 is installed beside etcd-client" in said
    else:
        # Its `etcd_client` has a Client too: without the check `aetcd.Client` would be that.
        assert "ImportError: the module etcd_client is not that of" in said

    pip("uninstall", "--yes", "etcd-client-py")
    said = python("import aetcd").stderr
    assert "ImportError: the module etcd_client is not that of" in said

    pip("install", "--no-deps", "--force-reinstall", wheel)
    ended = python("import aetcd, etcd_client; print(aetcd.Client is etcd_client.Client)")
    assert (ended.stdout, ended.stderr) == ("True\n", "")
