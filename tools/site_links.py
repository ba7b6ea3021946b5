"""Checks every link of a directory of HTML pages: the file and the anchor that it leads to.

Pages, styles, scripts and pictures of other hosts may be linked to, but nothing may be loaded from
them: a page that is read without a network must look the same.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

__all__ = ["check"]

LOADING = {
    "link": "href",
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "object": "data",
}
"""What a browser loads by itself."""

HARMLESS = {"canonical", "next", "prev", "edit", "alternate"}
"""Kinds of <link> that are not loaded."""


class Page(HTMLParser):
    """The anchors of a page, the links of it, and what is loaded with it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if (anchor := attributes.get("id")) is not None:
            self.anchors.add(anchor)
        if tag == "a":
            if "name" in attributes:
                self.anchors.add(attributes["name"])
            if "href" in attributes:
                self.links.append(attributes["href"])
        elif LOADING.get(tag) in attributes and not (tag == "link" and is_harmless(attributes)):
            self.loaded.append(attributes[LOADING[tag]])


def is_harmless(attributes: dict[str, str]) -> bool:
    return not HARMLESS.isdisjoint(attributes.get("rel", "").split())


def check(site: Path) -> list[str]:
    """Return what is wrong with the links of the pages below a directory, a line for each."""
    pages = {
        path.resolve(): Page(path.read_text(encoding="utf-8"))
        for path in sorted(site.rglob("*.html"))
    }
    if not pages:
        return [f"{site}: there is no page"]
    problems = []
    for path, page in pages.items():
        shown = path.relative_to(site.resolve()).as_posix()
        # It is served for any address, so its links begin at the root of the host.
        if shown == "404.html":
            continue
        problems += [f"{shown}: loads {link}" for link in page.loaded if is_far(link)]
        found = {link: problem_of(link, path, pages) for link in (*page.links, *page.loaded)}
        problems += [f"{shown}: {link}: {problem}" for link, problem in found.items() if problem]
    return problems


def is_far(link: str) -> bool:
    """Whether it leads to another host."""
    parts = urlsplit(link)
    return parts.scheme in ("http", "https") or bool(parts.netloc)


def problem_of(link: str, path: Path, pages: dict[Path, Page]) -> str | None:
    """Return what is wrong with one link of the page at `path`; None if it leads somewhere."""
    address, anchor = urldefrag(link)
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return None
    target = path
    if parts.path:
        target = (path.parent / unquote(parts.path)).resolve()
        if target.is_dir():
            target /= "index.html"
        if not target.is_file():
            return "no such file"
    # "__" stands before the switches of the theme, which its script makes.
    if not anchor or anchor.startswith("__") or target not in pages:
        return None
    return None if unquote(anchor) in pages[target].anchors else "no such anchor"


if __name__ == "__main__":
    found = check(Path(sys.argv[1]))
    print("\n".join(found))
    sys.exit(1 if found else 0)
