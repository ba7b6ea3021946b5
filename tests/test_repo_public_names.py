"""The public names of every package and their signatures are those that were reviewed."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import public_names
import public_source
import pytest
from workspace import ROOT, packages

PUBLIC = sorted(
    module.name
    for module in public_source.modules().values()
    if module.exported and public_source.is_public(module.name)
)


def test_the_public_names_are_those_of_the_files() -> None:
    """A change of the files is a change that users may notice: see it in the diff."""
    different = public_names.differences()
    # A plain message: pytest would cut a long difference.
    if different:
        changes = "\n".join(different.values())
        pytest.fail(
            f"{changes}\n\nThe public names have changed. If this is meant, run\n"
            f"    {public_names.COMMAND}",
            pytrace=False,
        )


def test_each_package_has_a_file_of_its_public_names() -> None:
    files = {path.stem for path in public_names.DIRECTORY.glob("*.txt")}
    assert files == set(packages())
    for package in packages():
        text = (public_names.DIRECTORY / f"{package}.txt").read_text(encoding="utf-8")
        assert public_names.COMMAND in text


def test_what_stands_in_the_source_is_what_can_be_imported() -> None:
    for name in PUBLIC:
        module = importlib.import_module(name)
        assert list(module.__all__) == public_source.modules()[name].exported
        assert [exported for exported in module.__all__ if not hasattr(module, exported)] == []


def test_every_public_attribute_of_a_class_is_in_the_files() -> None:
    """Also what the source does not spell out, such as what a decorator adds to a class."""
    missing = [
        f"{name}.{exported}: {', '.join(sorted(left))}"
        for name in PUBLIC
        for exported in public_source.modules()[name].exported
        if inspect.isclass(kind := getattr(importlib.import_module(name), exported))
        if (left := {*attributes(kind)} - public_names.members(name, exported))
    ]
    assert missing == []


def attributes(kind: type) -> Iterator[str]:
    """The public attributes that a class has of the packages."""
    roots = {path.name for package in packages().values() for path in package.imports}
    for each in kind.__mro__:
        generated = ".pb." in each.__module__
        if each.__module__.partition(".")[0] in roots and not generated:
            yield from (name for name in vars(each) if not name.startswith("_"))


def lines_of(source: str) -> list[str]:
    """What is said of the last definition of a module."""
    module = public_source.Module("a_module", "a-package")
    for statement in ast.parse(source).body:
        for name in public_source.names_of(statement):
            module.defined.setdefault(name, []).append(statement)
    return public_names.describe(module, list(module.defined)[-1])


def test_a_function_is_its_signature() -> None:
    source = "async def put(key: bytes, /, value=b'', *rest: int, timeout: float = 1, **more): ..."
    assert lines_of(source) == [
        "async def put(key: bytes, /, value=b'', *rest: int, timeout: float = 1, **more)"
    ]
    assert lines_of("def get(*, key: bytes) -> bytes: ...") == ["def get(*, key: bytes) -> bytes"]


def test_a_long_signature_has_a_line_for_each_parameter() -> None:
    names = [f"a_long_parameter_{number}" for number in range(8)]
    assert lines_of(f"def put({', '.join(names)}) -> int: ...") == [
        "def put(",
        *(f"    {name}," for name in names),
        ") -> int",
    ]


def test_a_function_with_overloads_is_these() -> None:
    source = """
@overload
def get(key: bytes) -> bytes: ...
@overload
def get(key: None) -> None: ...
def get(key): ...
"""
    assert lines_of(source) == [
        "@overload",
        "def get(key: bytes) -> bytes",
        "@overload",
        "def get(key: None) -> None",
    ]


def test_a_class_is_its_bases_fields_and_methods() -> None:
    source = '''
@dataclass(frozen=True)
class Thing(Base, Generic[T]):
    """What it is."""

    size: int = 0
    """How large it is."""
    _hidden: int = 1

    def __init__(self, name: str) -> None:
        self.name = name
        self.place: str | None = None
        self._secret = 1

    def use(self) -> None: ...
    def _use(self) -> None: ...
    def __repr__(self) -> str: ...
    @property
    def free(self) -> bool: ...
'''
    assert lines_of(source) == [
        "@dataclass(frozen=True)",
        "class Thing(Base, Generic[T])",
        "    size: int = 0",
        "    name: str",
        "    place: str | None",
        "    def __init__(self, name: str) -> None",
        "    @property",
        "    def free(self) -> bool",
        "    def use(self) -> None",
    ]


def test_the_members_of_an_enumeration_keep_their_order() -> None:
    assert lines_of("class Kind(Enum):\n    PUT = 'PUT'\n    DELETE = 'DELETE'\n") == [
        "class Kind(Enum)",
        "    PUT = 'PUT'",
        "    DELETE = 'DELETE'",
    ]


def test_a_change_is_printed_with_the_command_that_accepts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(public_names, "ROOT", tmp_path)
    monkeypatch.setattr(public_names, "DIRECTORY", tmp_path / "public")
    assert public_names.main([]) == 0
    assert public_names.main(["--check"]) == 0
    changed = tmp_path / "public" / "etcd-kv.txt"
    text = changed.read_text(encoding="utf-8")
    changed.write_text(text.replace("async def put(", "async def set(", 1), encoding="utf-8")
    (tmp_path / "public" / "etcd-gone.txt").write_text("gone\n", encoding="utf-8")
    assert public_names.main(["--check"]) == 1
    said = capsys.readouterr().out
    assert "--- public/etcd-kv.txt" in said
    assert "-        async def set(" in said
    assert "+        async def put(" in said
    assert "-gone" in said
    assert public_names.COMMAND in said
    assert public_names.main([]) == 0
    assert changed.read_text(encoding="utf-8") == text
    assert not (tmp_path / "public" / "etcd-gone.txt").exists()
    assert (ROOT / "tools" / "public_names.py").exists()
