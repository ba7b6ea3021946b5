"""docs/examples.md shows every program of examples/, as it is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from example_program import EXAMPLES

PROGRAMS = sorted(EXAMPLES.glob("*.py"))
PAGE = EXAMPLES.parent / "docs" / "examples.md"


def test_the_page_includes_every_program_once() -> None:
    page = PAGE.read_text(encoding="utf-8")
    included = re.findall(r'^ +--8<-- "examples/(.*)"$', page, re.MULTILINE)
    assert sorted(included) == [program.name for program in PROGRAMS]
    assert re.findall(r'^\?\?\? example "examples/(.*)"$', page, re.MULTILINE) == included


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_program_says_how_it_is_run(program: Path) -> None:
    said = ast.get_docstring(ast.parse(program.read_text(encoding="utf-8"))) or ""
    if program.name == "demonstration.py":
        return  # the part that they share
    assert f"python examples/{program.name}" in said
    assert "--endpoints" in said
    if program.name not in ("operators_hour.py", "tour.py"):
        assert said.splitlines()[0].endswith("?")
        assert "\nGuaranteed: " in said
        assert "\nNot guaranteed: " in said
