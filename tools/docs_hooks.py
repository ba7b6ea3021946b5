"""What MkDocs asks of this repository while it builds a page; mkdocs.yml names this file.

Four comments on a page are replaced, so that no list of names is written by hand:

<!-- reference: MODULE -->    the reference of every public name of a module
<!-- own: MODULE -->          the reference of the names that its package defines itself
<!-- names: MODULE -->        a table of them, each a link to its entry in the reference
<!-- methods: CLASS -->       the methods that a class inherits, a table for each base
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import griffe

ROOT = Path(__file__).resolve().parent.parent
MARK = re.compile(r"^<!-- (reference|own|names|methods): ([\w.]+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    return MARK.sub(lambda found: TABLES[found[1]](found[2]), markdown)


@cache
def modules() -> griffe.ModulesCollection:
    """All packages, as mkdocstrings reads them: from their source, without importing them."""
    sources = sorted((ROOT / "packages").glob("*/src"))
    loader = griffe.GriffeLoader(search_paths=[str(path) for path in sources])
    for source in sources:
        for package in sorted(source.iterdir()):
            if (package / "__init__.py").exists():
                loader.load(package.name)
    loader.resolve_aliases(external=True)
    return loader.modules_collection


def reference(module: str) -> str:
    """Clients come first and types last; the others as in `__all__`."""
    found = [(name, final(modules()[f"{module}.{name}"])) for name in exports(module)]
    found = [(name, thing) for name, thing in found if not thing.is_module]
    entries = [
        entry(f"{module}.{name}", thing)
        for name, thing in sorted(found, key=lambda one: rank(*one))
    ]
    return "\n\n".join([f"Import these from `{module}`.", *entries])


def own(module: str) -> str:
    """The reference of what the package does not take from another one."""
    found = [(name, final(modules()[f"{module}.{name}"])) for name in exports(module)]
    found = [one for one in found if one[1].path.startswith(f"{module}.") and not one[1].is_module]
    ordered_by_rank = sorted(found, key=lambda one: rank(*one))
    return "\n\n".join(entry(f"{module}.{name}", thing) for name, thing in ordered_by_rank)


def rank(name: str, thing: Any) -> int:
    if thing.is_class:
        return 0 if name.endswith("Client") else 2 if is_error(thing) else 1
    return 3 if thing.is_function else 4


def entry(path: str, thing: Any) -> str:
    """One object for mkdocstrings, with what it inherits from classes that the reference omits."""
    lines = [f"::: {path}"]
    if thing.is_class and (hidden := inherited(thing)):
        lines += ["    options:"]
        lines += [f"      members: [{', '.join(ordered(thing))}]"]
        lines += [f"      inherited_members: [{', '.join(hidden)}]"]
    return "\n".join(lines)


def ordered(cls: Any) -> list[str]:
    """The members of an entry: a class's own before those it inherits.

    The fields of a dataclass are in the order of its constructor, in which its own come last.
    """
    own, hidden = own_members(cls), inherited(cls)
    return [*hidden, *own] if "dataclass" in cls.labels else [*own, *hidden]


def own_members(cls: Any) -> list[str]:
    return [name for name in cls.members if not name.startswith("_")]


def inherited(cls: Any) -> list[str]:
    """The public members that a class has of bases without an entry of their own."""
    names = [
        name
        for base in cls.mro()
        if not is_public(base)
        for name, member in base.members.items()
        if not name.startswith("_") and name not in cls.members and not member.is_alias
    ]
    return list(dict.fromkeys(names))


def names(module: str) -> str:
    rows = []
    for name in sorted(exports(module), key=str.lower):
        found = modules()[f"{module}.{name}"]
        if not final(found).is_module:
            rows.append(row(f"{module}.{name}", name, home(found), found))
    return table("name", rows)


def methods(path: str) -> str:
    parts = []
    cls = final(modules()[path])
    for base in client_bases(cls):
        rows = [
            row(f"{path}.{name}", name, f"{home(base)}.{name}", base.all_members[name])
            for name in (own_members(base) if is_composed(base) else ordered(base))
            if name not in cls.members
        ]
        if is_public(base) and rows:
            parts.append(f"### {base.name}\n\n{table('method', rows)}")
    return "\n\n".join(parts)


def client_bases(cls: Any) -> list[Any]:
    """The bases of a class; those of a base that is composed of several clients come after it."""
    found = []
    for base in (final(modules()[path]) for path in base_paths(cls)):
        found.append(base)
        if is_composed(base):
            found += client_bases(base)
    return found


def is_composed(cls: Any) -> bool:
    """Whether a class is made of several classes with entries of their own."""
    ours = [path for path in base_paths(cls) if path.startswith("etcd_")]
    return sum(is_public(final(modules()[path])) for path in ours) > 1


def base_paths(cls: Any) -> list[str]:
    return [base.canonical_path for base in cls.bases]


def row(anchor: str, name: str, target: str, found: Any) -> str:
    # The empty link makes the anchor, so that the name is found under this path too.
    own = f"[](){{#{anchor}}}" if anchor != target else ""
    return f"| {own}[`{name}`][{target}] | {summary(found)} |"


def table(head: str, rows: list[str]) -> str:
    return "\n".join([f"| {head} | |", "|---|---|", *rows])


def exports(module: str) -> list[str]:
    return [str(name) for name in final(modules()[module]).exports or ()]


def final(found: Any) -> Any:
    return found.final_target if found.is_alias else found


def is_public(cls: Any) -> bool:
    return cls.name in exports(cls.path.partition(".")[0])


def is_error(cls: Any) -> bool:
    return str(cls.name).endswith("Error")


def home(found: Any) -> str:
    """The path under which the reference shows an object: that of the package which exports it."""
    path: str = final(found).path
    package, _, _ = path.partition(".")
    name = path.rpartition(".")[2]
    if path.startswith("etcd_channel.errors.") or final(found).is_module:
        return path
    return f"{package}.{name}" if name in exports(package) else path


def summary(found: Any) -> str:
    docstring = final(found).docstring
    first = docstring.value.split("\n\n")[0] if docstring else ""
    sentence = re.split(r"(?<=\.)\s", " ".join(first.split()))[0]
    return sentence.replace("|", "\\|")


TABLES = {"reference": reference, "own": own, "names": names, "methods": methods}
