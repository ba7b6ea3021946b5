"""Each package logs by the logger of its name, and configures nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from workspace import ROOT, packages

PLACES = [
    (directory.name, path)
    for package in packages().values()
    for directory in package.imports
    for path in sorted(directory.rglob("*.py"))
    if "pb" not in path.parts
]
CONFIGURATION = {"addHandler", "basicConfig", "dictConfig", "fileConfig", "setLevel"}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            function = node.func
            yield (
                function.attr
                if isinstance(function, ast.Attribute)
                else getattr(function, "id", ""),
                node,
            )


@pytest.mark.parametrize("top", sorted({top for top, _ in PLACES}))
def test_a_package_that_logs_has_one_logger_with_a_null_handler(top: str) -> None:
    names, handlers = set(), []
    for package, path in PLACES:
        if package != top:
            continue
        for name, call in calls(path):
            if name == "getLogger":
                names.add(ast.literal_eval(call.args[0]))
            if name in CONFIGURATION:
                handlers.append((path.name, ast.unparse(call)))
    assert names <= {top}
    only = ("__init__.py", f"logging.getLogger('{top}').addHandler(logging.NullHandler())")
    assert handlers == ([only] if names else [])


@pytest.mark.parametrize(
    "path", [path for top, path in PLACES if top != "etcd_testing"], ids=lambda path: path.name
)
def test_no_module_writes_to_the_terminal(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert "print" not in {name for name, _ in calls(path)}
    assert "sys.stderr" not in source
    assert "sys.stdout" not in source


def test_the_documentation_names_every_logger() -> None:
    tops = {top for top, path in PLACES if any(name == "getLogger" for name, _ in calls(path))}
    page = (ROOT / "docs" / "connecting.md").read_text(encoding="utf-8")
    section = page.partition("\n## Logging\n")[2].partition("\n## ")[0]
    assert [top for top in sorted(tops) if f"`{top}`" not in section] == []
