"""What a signature of the reference shows in place of the source; mkdocs.yml names this file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import griffe

PRIVATE = re.compile(r"_[A-Z][A-Z0-9_]*")
"""A constant that is private: a reader cannot look it up."""

LITERAL = re.compile(r"""-?[\d._]+|"[^"]*"|'[^']*'""")


class Values(griffe.Extension):
    """Shows the values of private constants, and no expression of a constructor."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        for thing in members(pkg):
            if thing.is_function:
                for parameter in thing.parameters:
                    if (value := value_of(str(parameter.default), thing)) is not None:
                        parameter.default = value
            elif thing.labels & {"instance-attribute", "class-attribute"} == {"instance-attribute"}:
                thing.value = None


def members(scope: Any) -> Iterator[Any]:
    """What is defined in a module or a class, and in those inside."""
    for member in scope.members.values():
        if member.is_alias:
            continue
        if member.is_module or member.is_class:
            yield from members(member)
        else:
            yield member


def value_of(default: str, function: Any) -> Any:
    """Return the number or text of the constant that a default names; None for any other."""
    members = function.module.members
    if not PRIVATE.fullmatch(default) or default not in members:
        return None
    found = members[default]
    value = getattr(found.final_target if found.is_alias else found, "value", None)
    return value if LITERAL.fullmatch(str(value)) else None
