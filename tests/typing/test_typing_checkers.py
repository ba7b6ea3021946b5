"""mypy and pyright accept the programs, refuse the mistakes, and know the type of each result.

The step `typing` of .ci/run has both checkers, and the packages as built wheels; elsewhere these
tests are skipped. mistakes.tsv lists statements, with the name of each checker's complaint, and
revealed.tsv expressions, with their types; also what `async with` enters, with the type of the name
after `as`.
"""

from __future__ import annotations

import csv
import importlib
import importlib.util
import inspect
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from checkers import HERE, PROGRAMS, Complaint, by_mypy, by_pyright, readme_programs

if any(importlib.util.find_spec(checker) is None for checker in ("basedpyright", "mypy")):
    pytest.skip("THE STEP typing OF .ci/run HAS THE TYPE CHECKERS", allow_module_level=True)

PRELUDE = """
from __future__ import annotations
import asyncio
from typing_extensions import assert_type
from etcd_kv import Compare
from etcd_client import {names}
async def number(stm: STMTransaction) -> int: return stm.attempt
async def a(client: Client, t: Transactions, kv: KeyValue, lease: Lease, event: Event,
    stm: STMTransaction) -> None:
"""


def lines_of(name: str) -> list[list[str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]


MISTAKES = lines_of("mistakes.tsv")
REVEALED = lines_of("revealed.tsv")


def asserted(expression: str, kind: str) -> str:
    if not expression.startswith("async with "):
        return f"assert_type({expression}, {kind})"
    return f"{expression}: assert_type({expression.rpartition(' as ')[2]}, {kind})"


GENERIC = (
    *("BulkPart", "Listing", "STMResult"),
    *("Cache", "CacheChange", "CacheEntries", "CacheEntry", "CacheGap", "CacheReader"),
)

FIRST = PRELUDE.strip().count("\n") + 2
"""The number of the line after the prelude."""

Checked = dict[str, list[Complaint]]


def attributes() -> Iterator[tuple[str, str]]:
    """The public attributes of the public classes, except errors and protocols, class by class.

    A protocol is what a user's own object has to be, not a result.
    """
    client = importlib.import_module("etcd_client")
    for name in client.__all__:
        kind = getattr(client, name)
        if not inspect.isclass(kind) or issubclass(kind, Exception):
            continue
        if getattr(kind, "_is_protocol", False):
            continue
        for attribute in dir(kind):
            if not attribute.startswith("_"):
                yield name, attribute


ATTRIBUTES = list(attributes())

# What passes on the messages of any RPC, for middleware; what belongs to gRPC, which has no types;
# what an event loop calls; and enumerations, which the standard library types.
NOT_RESULTS = re.compile(
    r"(Channel|ChannelView|Observer|Rpc|Stream|StreamHandler)\..*"
    r"|TLS\.credentials"
    r"|\w+\.(send|throw)"
    r"|(AlarmType|CacheChangeKind|EventKind|PermissionKind)\..*"
)


@pytest.fixture(scope="session", params=[by_mypy, by_pyright], ids=["mypy", "pyright"])
def checked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """The messages of a checker for each file."""
    folder = tmp_path_factory.mktemp("typing")
    for program in PROGRAMS:
        shutil.copy(program, folder)
    for name, text in readme_programs().items():
        (folder / name).write_text(text)
    names = importlib.import_module("etcd_client").__all__
    start = PRELUDE.strip().format(names=", ".join(names))
    bodies = {
        "mistakes.py": [mistake for mistake, *_ in MISTAKES],
        "revealed.py": [asserted(expression, kind) for expression, kind in REVEALED],
        "attributes.py": [],
    }
    for name, body in bodies.items():
        (folder / name).write_text(
            "\n".join([start, *(f"    {line}" for line in body), "    pass"])
        )
    owners = "\n".join(
        f"def a{number}(x: etcd_client.{owner}{'[int]' if owner in GENERIC else ''}) -> None:"
        f" reveal_type(x.{attribute})"
        for number, (owner, attribute) in enumerate(ATTRIBUTES)
    )
    (folder / "attributes.py").write_text(f"import etcd_client\n{owners}\n")
    check: Callable[[Path], list[Complaint]] = request.param
    complaints: Checked = {path.name: [] for path in folder.glob("*.py")}
    for complaint in check(folder):
        complaints[complaint.file].append(complaint)
    return complaints


@pytest.mark.parametrize("program", [path.name for path in PROGRAMS])
def test_a_program_is_typed_without_any(checked: Checked, program: str) -> None:
    # mypy has no type for the codes of gRPC, which the constructors of errors take.
    of_errors = re.compile(r'Expression type contains "Any" \(has type "type\[\w+Error\]"\)')
    found = [one for one in checked[program] if not of_errors.fullmatch(one.text)]
    assert found == []
    assert "type: ignore" not in (HERE / "programs" / program).read_text(encoding="utf-8")


@pytest.mark.parametrize("program", readme_programs())
def test_a_program_of_a_readme_is_typed(checked: Checked, program: str) -> None:
    # They are short: not every value in them is annotated.
    about_any = re.compile(r"reportAny|reportUnknown\w+")
    found = [one for one in checked[program] if not about_any.fullmatch(one.code or "")]
    assert [one for one in found if 'contains "Any"' not in one.text] == []


@pytest.mark.parametrize("number", range(len(MISTAKES)), ids=[mistake for mistake, *_ in MISTAKES])
def test_a_mistake_is_refused(
    checked: Checked, number: int, request: pytest.FixtureRequest
) -> None:
    _, mypy, pyright = MISTAKES[number]
    expected = mypy if "[mypy-" in request.node.name else pyright
    codes = {one.code for one in checked["mistakes.py"] if one.line == FIRST + number}
    assert expected in codes


@pytest.mark.parametrize("number", range(len(REVEALED)), ids=[line[0] for line in REVEALED])
def test_a_result_has_its_type(checked: Checked, number: int) -> None:
    assert [one for one in checked["revealed.py"] if one.line == FIRST + number] == []


def test_no_result_is_any_or_a_message_of_protobuf(checked: Checked) -> None:
    untyped = []
    revealed = 0
    for one in checked["attributes.py"]:
        if one.code is not None or one.line < 2:
            continue
        name = ".".join(ATTRIBUTES[one.line - 2])
        revealed += 1
        # Of a function only what it returns; the two types that a coroutine takes are unused.
        result = one.text.rpartition(" -> ")[2]
        result = re.sub(r"(Coroutine|CoroutineType|Generator)\[Any, (Any|None), ", "[", result)
        if re.search(r"\b(Any|Unknown)\b|_pb2", result) and not NOT_RESULTS.fullmatch(name):
            untyped.append(f"{name}: {one.text}")
    assert revealed >= len(ATTRIBUTES)
    assert not untyped, "\n".join(untyped)
