"""The tools that write files from others, or check them, and the one that measures coverage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import constraints
import cover
import peers
import protos
import pytest
from workspace import ROOT

# requirements/constraints.txt --------------------------------------------------------------------


@pytest.fixture
def pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of pins, for which uv is known to find `mypy==2`."""
    path = tmp_path / "constraints.txt"
    monkeypatch.setattr(constraints, "CONSTRAINTS", path)
    monkeypatch.setattr(constraints, "compile_constraints", lambda *, upgrade: "mypy==2\n")
    return path


def test_pins_are_written_below_a_line_that_names_the_tool(pins: Path) -> None:
    assert constraints.main([]) == 0
    assert pins.read_text(encoding="utf-8") == f"{constraints.HEADER}mypy==2\n"
    assert constraints.main(["--check"]) == 0


@pytest.mark.parametrize("text", ["", "mypy==2\n", f"{constraints.HEADER}mypy==1\n"])
def test_outdated_pins_are_reported_and_not_changed(
    pins: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pins.write_text(text, encoding="utf-8")
    assert constraints.main(["--check"]) == 1
    assert "not up to date" in capsys.readouterr().out
    assert pins.read_text(encoding="utf-8") == text


def test_every_list_of_requirements_is_pinned() -> None:
    # The generator of the protobuf code and pip have pins of their own.
    lists = {path.name for path in (ROOT / "requirements").glob("*.txt")}
    assert lists - {"constraints.txt", "pip.txt", "protos.txt"} == set(constraints.INPUTS)


# The protobuf code -------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with one .proto file, for which protoc is known to generate `code`."""
    source = tmp_path / "protos" / "etcd_kv" / "pb" / "kv.proto"
    source.parent.mkdir(parents=True)
    source.touch()
    monkeypatch.setattr(protos, "ROOT", tmp_path)
    monkeypatch.setattr(protos, "PROTOS", tmp_path / "protos")
    monkeypatch.setattr(protos, "PACKAGES", tmp_path / "packages")
    monkeypatch.setattr(protos, "generator_obstacle", lambda: None)
    place = tmp_path / "packages" / "etcd-kv" / "src" / "etcd_kv" / "pb" / "kv_pb2.py"
    monkeypatch.setattr(protos, "generate", lambda folder: {place: b"code"})
    return place


def test_generated_code_is_written_to_its_package(tree: Path) -> None:
    assert protos.main([]) == 0
    assert tree.read_bytes() == b"code"
    assert protos.main(["--check"]) == 0


@pytest.mark.parametrize("kind", ["missing", "surplus", "differs"])
def test_outdated_generated_code_is_named(
    tree: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    protos.main([])
    path = tree
    match kind:
        case "missing":
            tree.unlink()
        case "differs":
            tree.write_bytes(b"edited")
        case _:
            path = tree.with_name("old_pb2.py")
            path.touch()
    capsys.readouterr()
    assert protos.main(["--check"]) == 1
    assert capsys.readouterr().out.splitlines()[0] == f"{kind}: {protos.shown(path)}"
    assert protos.main([]) == 0
    assert protos.main(["--check"]) == 0


def test_the_code_of_a_package_without_proto_files_is_removed(tree: Path) -> None:
    stale = tree.parents[4] / "etcd-old" / "src" / "etcd_old" / "pb"
    stale.mkdir(parents=True)
    (stale / "old_pb2.py").touch()
    assert protos.main(["--check"]) == 1
    assert protos.main([]) == 0
    assert not stale.exists()


def test_another_generator_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(protos, "GENERATOR", "pytest")
    assert protos.main(["--check"]) == 2
    assert "which generates other code: run with Python 3.11 or 3.12" in capsys.readouterr().err
    monkeypatch.setattr(protos, "GENERATOR", "no-such-generator")
    assert protos.main(["--check"]) == 2
    assert capsys.readouterr().err.startswith("no-such-generator is not installed: ")


# Coverage, and the environments of other clients -------------------------------------------------


@pytest.mark.parametrize("status", [0, 1])
def test_the_coverage_is_reported_whether_the_tests_pass_or_not(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[tuple[str, ...]] = []

    def coverage(*arguments: str) -> int:
        commands.append(arguments)
        return status if arguments[0] == "run" else 0

    monkeypatch.setattr(cover, "coverage", coverage)
    assert cover.main(["packages/etcd-kv", "-x"]) == status
    assert [command[0] for command in commands] == ["erase", "run", "combine", "report"]
    assert commands[1] == ("run", "-m", "pytest", "packages/etcd-kv", "-x")


def test_an_unknown_peer_is_refused_with_the_known_ones() -> None:
    ended = peers.main(["no-such-peer"])
    assert ended == f"peers.py: 'no-such-peer' is no peer: {', '.join(peers.PEERS)}"


@pytest.mark.parametrize("reachable", [True, False])
def test_a_peer_that_cannot_be_installed_is_an_error_unless_the_index_is_unreachable(
    reachable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(recipe: object) -> Path:
        raise SystemExit("pip could not install it")

    monkeypatch.setattr("environment.ensure", fail)
    monkeypatch.setattr("package_index.is_reachable", lambda: reachable)
    if reachable:
        with pytest.raises(SystemExit, match="pip could not install it"):
            peers.main(["aetcd", "-c", ""])
    else:
        assert peers.main(["aetcd", "-c", ""]) == peers.UNREACHABLE


def test_the_peers_are_listed() -> None:
    ended = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "peers.py")], capture_output=True, text=True
    )
    assert ended.stdout.split() == list(peers.PEERS)
