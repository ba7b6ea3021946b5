"""The check of the links of the built documentation, and the list of its pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import site_links
from workspace import ROOT


def site(folder: Path, **pages: str) -> Path:
    for name, text in pages.items():
        path = folder / name / "index.html" if name != "index" else folder / "index.html"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "link",
    [
        '<a href="guide/">',
        '<a href="guide/index.html#a%20part">',
        '<a href="guide/#named">',
        '<a href="#top">',
        '<a href="#__search">',
        '<a href="https://etcd.io/docs#anything">',
        '<a href="mailto:somebody@example.com">',
        '<link rel="canonical" href="https://example.com/">',
        '<img src="picture%201.svg">',
    ],
)
def test_a_link_that_leads_somewhere_is_right(link: str, tmp_path: Path) -> None:
    (tmp_path / "picture 1.svg").touch()
    guide = '<h2 id="a part"></h2><a name="named"></a><a href="../#top">'
    assert site_links.check(site(tmp_path, index=f'<p id="top">{link}', guide=guide)) == []


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ('<a href="missing/">', "index.html: missing/: no such file"),
        ('<a href="../outside.html">', "index.html: ../outside.html: no such file"),
        ('<a href="guide/#missing">', "index.html: guide/#missing: no such anchor"),
        ('<a href="#missing">', "index.html: #missing: no such anchor"),
        ('<img src="missing.svg">', "index.html: missing.svg: no such file"),
        ('<script src="missing.js">', "index.html: missing.js: no such file"),
        ('<link rel="stylesheet" href="missing.css">', "index.html: missing.css: no such file"),
    ],
)
def test_a_dead_link_or_anchor_is_found(link: str, problem: str, tmp_path: Path) -> None:
    assert site_links.check(site(tmp_path, index=link, guide="")) == [problem]


@pytest.mark.parametrize(
    "loaded",
    [
        '<script src="https://cdn.test/a.js">',
        '<link rel="stylesheet" href="//cdn.test/a.css">',
        '<link rel="preconnect" href="https://cdn.test">',
        '<img src="http://cdn.test/a.png">',
        '<iframe src="https://cdn.test/">',
    ],
)
def test_what_is_loaded_from_another_host_is_found(loaded: str, tmp_path: Path) -> None:
    [problem] = site_links.check(site(tmp_path, index=loaded))
    assert re.fullmatch(r"index\.html: loads \S*//cdn\.test\S*", problem)


def test_a_dead_link_of_a_page_below_is_found(tmp_path: Path) -> None:
    problems = site_links.check(site(tmp_path, index="", guide='<a href="missing/">'))
    assert problems == ["guide/index.html: missing/: no such file"]


def test_a_site_without_pages_is_wrong(tmp_path: Path) -> None:
    assert site_links.check(tmp_path) == [f"{tmp_path}: there is no page"]


def test_every_page_is_in_the_navigation_once() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    listed = re.findall(r"([\w/-]+\.md)$", navigation.partition("\n\n")[0], re.MULTILINE)
    docs = ROOT / "docs"
    assert sorted(listed) == sorted(
        path.relative_to(docs).as_posix() for path in docs.rglob("*.md")
    )
