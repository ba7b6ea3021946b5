"""Rule: an asynchronous generator is typed as one, so that its caller can close it.

`contextlib.aclosing` and `aclose` take no `AsyncIterator`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "packages").glob("*/src/**/*.py"))

SAMPLE = """
class Watch:
    async def responses(self) -> AsyncIterator[int]:
        yield 1

    async def both(self) -> AsyncGenerator[int, None]:
        yield 1

    async def get(self) -> int:
        async def inner() -> AsyncGenerator[int, None]:
            yield 1
        return 1
"""


def wrongly_typed(source: str) -> list[str]:
    """The asynchronous generators whose return type cannot be closed, by name."""
    return [
        function.name
        for function in ast.walk(ast.parse(source))
        if isinstance(function, ast.AsyncFunctionDef)
        and any(isinstance(node, ast.Yield) for node in _own_nodes(function))
        and not (function.returns and ast.unparse(function.returns).startswith("AsyncGenerator["))
    ]


def _own_nodes(function: ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """The nodes of a function, without those of functions inside it."""
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            todo += ast.iter_child_nodes(node)


def test_the_check_detects_a_generator_typed_as_an_iterator() -> None:
    assert wrongly_typed(SAMPLE) == ["responses"]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_asynchronous_generators_are_typed_as_such(module: Path) -> None:
    assert wrongly_typed(module.read_text(encoding="utf-8")) == []
