"""The tables of tools/matrix.py: which versions meet in them, and what a cell says."""

from __future__ import annotations

import itertools

import matrix
import pytest
from distributions import PYTHONS
from workspace import ROOT, floors

ROWS = matrix.combinations(PYTHONS)


def test_every_python_meets_every_etcd() -> None:
    met = {(row.python, row.etcd) for row in ROWS}
    assert met == set(itertools.product(PYTHONS, matrix.ETCD))


def test_every_protobuf_meets_every_etcd() -> None:
    met = {(row.protobuf, row.etcd) for row in ROWS}
    assert met == set(itertools.product(matrix.PROTOBUF, matrix.ETCD))


def test_every_python_meets_every_protobuf_and_grpcio_that_there_is_for_it() -> None:
    for name, versions in (("protobuf", matrix.PROTOBUF), ("grpcio", matrix.GRPCIO)):
        for python in PYTHONS:
            met = {getattr(row, name) for row in ROWS if row.python == python}
            assert met == set(matrix.allowed(name, python, versions))


def test_the_oldest_versions_are_those_that_the_packages_declare() -> None:
    assert floors() == [f"grpcio=={matrix.GRPCIO[0]}", f"protobuf=={matrix.PROTOBUF[0]}"]


def test_the_tests_of_the_suite_are_there() -> None:
    assert [test for test in matrix.SUITE if not (ROOT / test).is_file()] == []


@pytest.mark.parametrize(
    ("last", "cell", "good"),
    [
        ("12 passed in 3.00s", "12 + 0", True),
        ("12 passed, 2 skipped, 1 deselected in 3.00s", "12 + 2", True),
        ("1 failed, 12 passed in 3.00s", "12 + 0, **1 failed**", False),
        ("12 passed, 2 errors in 3.00s", "12 + 0, **2 failed**", False),
        ("3 skipped in 3.00s", "**none**", False),
        ("no tests ran in 3.00s", "**none**", False),
        ("  File 'selectors.py', line 452 in select", "**none**", False),
    ],
)
def test_a_cell_says_how_many_tests_have_passed(last: str, cell: str, good: bool) -> None:
    counts = matrix.Counts.of(f"....\n{last}\n")
    assert (str(counts), counts.good) == (cell, good)


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["versions", "2.7"]])
def test_a_table_that_there_is_not_is_one_line(arguments: list[str]) -> None:
    assert isinstance(matrix.main(arguments), str)


def test_a_table_is_written_in_markdown() -> None:
    assert matrix.table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
