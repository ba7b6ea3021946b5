"""tools/etcd.py without a network; the steps of CI fetch the real programs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import etcd
import pytest

needs_apt = pytest.mark.skipif(
    not (shutil.which("apt-get") and Path(etcd.KEYRING).exists()),
    reason="the packages are fetched and verified by apt, and this machine has none of Debian's",
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(etcd, "HOME", tmp_path / "etcd")
    return tmp_path / "etcd"


@pytest.fixture
def no_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "none"))


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in which apt finds its sources."""
    directory = tmp_path / "sources"
    directory.mkdir()
    configuration = tmp_path / "apt.conf"
    configuration.write_text(
        'Dir::Etc::SourceList "/dev/null";\n'
        f'Dir::Etc::SourceParts "{directory}";\n'
        # apt has never been updated.
        f'Dir::State::Lists "{tmp_path}/lists";\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("APT_CONFIG", str(configuration))
    return directory


@needs_apt
def test_the_mirror_is_read_from_sources_of_both_formats(sources: Path) -> None:
    (sources / "one.list").write_text(
        "deb [trusted=yes] https://vendor.test/apt stable main\n"
        "deb https://one.test/nested/debian/ bookworm main contrib\n",
        encoding="utf-8",
    )
    (sources / "two.sources").write_text(
        "Types: deb\nURIs: http://two.test/debian http://two.test/debian-security\n"
        "Suites: trixie trixie-updates\nComponents: main\n",
        encoding="utf-8",
    )
    assert set(etcd.apt_mirrors()) == {"https://one.test/nested/debian", "http://two.test/debian"}


@needs_apt
def test_sources_without_debian_are_named_as_the_cause(sources: Path) -> None:
    (sources / "one.list").write_text("deb https://vendor.test/apt stable main\n", encoding="utf-8")
    with pytest.raises(etcd.UnavailableError, match=r"no mirror of Debian .*--mirror"):
        etcd.fetch("bookworm")


@needs_apt
def test_a_package_that_debian_has_not_signed_is_refused(tmp_path: Path, home: Path) -> None:
    mirror = tmp_path / "debian"
    index = mirror / "dists" / "bookworm"
    index.mkdir(parents=True)
    (index / "Release").write_text("Suite: bookworm\nComponents: main\n", encoding="utf-8")
    with pytest.raises(etcd.UnavailableError, match="not signed"):
        etcd.fetch("bookworm", mirror=f"file:{mirror}")
    assert [path for path in home.iterdir() if path.suffix != ".lock"] == []


@needs_apt
def test_a_mirror_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(etcd.UnavailableError) as complaint:
        etcd.fetch("bookworm", mirror="http://user:secret@127.0.0.1:1/mirror")
    assert "127.0.0.1:1/mirror" in str(complaint.value)
    assert "secret" not in str(complaint.value)


@pytest.mark.usefixtures("no_programs")
def test_a_machine_without_apt_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert etcd.main(["trixie", "sid"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"etcd.py: no etcd {etcd.SUITES[suite]} of {suite}: there is no apt-get on this machine"
        for suite in ("trixie", "sid")
    ]


def test_a_read_only_clone_is_reported_in_one_line(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.write_text("no directory\n")
    assert etcd.main(["sid"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"it cannot be kept in {home}: " in line


@pytest.mark.usefixtures("no_programs")
def test_an_existing_etcd_is_not_fetched_again(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "3.5.99").mkdir(parents=True)
    (home / "3.5.99" / "etcd").touch()
    (home / "sid").symlink_to("3.5.99")
    assert etcd.fetch("sid") == etcd.Fetched("3.5.99", home / "3.5.99")
    assert etcd.main(["sid"]) == 0
    assert capsys.readouterr().out == f"3.5.99 {home / '3.5.99'}\n"


@needs_apt
def test_the_fetched_programs_are_in_the_directory_of_their_version(
    tmp_path: Path, home: Path
) -> None:
    """When a suite gets another version, the earlier one stays."""
    home.mkdir()
    for number, version in enumerate(["3.5.98-1", "1:3.5.99+ds-2+b1"]):
        folder = tmp_path / f"fetched-{number}"
        for name, programs in (("etcd-server", ["etcd"]), ("etcd-client", ["etcdctl", "etcdutl"])):
            build_deb(folder, name, version, programs)
        etcd._unpack("sid", folder)
    assert sorted(path.name for path in (home / "3.5.99").iterdir()) == [
        "etcd",
        "etcdctl",
        "etcdutl",
    ]
    assert (home / "3.5.98" / "etcd").exists()
    assert etcd.fetch("sid").version == "3.5.99"


def test_an_unknown_suite_is_refused_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        etcd.main(["sarge"])
    assert ended.value.code == 2
    assert re.search("'sarge' .* bookworm, trixie, sid", capsys.readouterr().err)


def build_deb(folder: Path, name: str, version: str, programs: list[str]) -> None:
    tree = folder / name
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr" / "bin").mkdir(parents=True)
    (folder / "debs").mkdir(exist_ok=True)
    (tree / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
        "Maintainer: Nobody <nobody@example.test>\nDescription: none\n",
        encoding="utf-8",
    )
    for program in programs:
        (tree / "usr" / "bin" / program).touch(0o755)
    subprocess.run(
        [
            "dpkg-deb",
            "--build",
            tree,
            folder / "debs" / f"{name}_{version.replace(':', '%3a')}.deb",
        ],
        check=True,
        capture_output=True,
    )
