"""The package index that pip is configured to use: to fetch pip itself, and for uv."""

from __future__ import annotations

import base64
import configparser
import contextlib
import hashlib
import os
import re
import ssl
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["fetched_wheel", "for_uv", "is_reachable", "why_unreachable"]

DEFAULT_INDEX = "https://pypi.org/simple"


@contextlib.contextmanager
def fetched_wheel(requirement: str) -> Iterator[Path]:
    """Fetch the wheel of a requirement `name==version --hash=sha256:…` without pip."""
    pinned = re.search(r"^([\w-]+)==(\S+) +--hash=sha256:(\w+)$", requirement, re.MULTILINE)
    assert pinned, requirement
    name, version, digest = pinned.groups()
    file_name = f"{name}-{version}-py3-none-any.whl"
    settings = pip_settings()
    page = f"{settings.get('index-url', DEFAULT_INDEX).rstrip('/')}/{name}/"
    try:
        links = re.findall(r'href="([^"]+)"', read(page, settings).decode())
        links = [link for link in links if f"/{file_name}" in f"/{link}"]
        if not links:
            sys.exit(f"dev.py: the package index has no {file_name}, and this Python has no pip")
        # A link of the index may be relative, and escaped as HTML.
        link = urllib.parse.urljoin(page, links[0].replace("&amp;", "&"))
        content = read(with_credentials_of(page, link), settings)
    except OSError as error:
        # The page's address is not shown: it may hold a password.
        sys.exit(f"dev.py: this Python has no pip, and it could not be fetched: {error}")
    if hashlib.sha256(content).hexdigest() != digest:
        sys.exit(f"dev.py: what the package index gave for {file_name} has another sha256")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file_name
        path.write_bytes(content)
        yield path


def is_reachable() -> bool:
    """Whether the index that pip is configured to use answers, also with an error."""
    return why_unreachable() is None


def why_unreachable() -> str | None:
    """Why the index that pip is configured to use does not answer; None if it does."""
    settings = pip_settings()
    index = settings.get("index-url", DEFAULT_INDEX).rstrip("/")
    try:
        read(f"{index}/pip/", settings)
    except urllib.error.HTTPError as answer:
        answer.close()
    except OSError as error:
        # The address itself may hold a password.
        host = urllib.parse.urlsplit(index).netloc.rpartition("@")[2]
        return f"{host}: {getattr(error, 'reason', error)}"
    return None


def for_uv(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that make uv see the indexes that pip sees.

    uv does not read pip's configuration. Variables of uv that are set already are not changed.
    """
    settings = pip_settings()
    translated = {
        "UV_DEFAULT_INDEX": settings.get("index-url", ""),
        "UV_INDEX": settings.get("extra-index-url", ""),
        "UV_FIND_LINKS": ",".join(settings.get("find-links", "").split()),
        "SSL_CERT_FILE": settings.get("cert", ""),
        # As pip does: the best version of all indexes.
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }
    return {name: value for name, value in translated.items() if value and not variables.get(name)}


def pip_settings() -> dict[str, str]:
    """pip's configuration as `pip config` would tell it, for the options of `pip install`."""
    settings: dict[str, str] = {}
    for file in pip_files():
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except configparser.Error as error:
            sys.exit(f"dev.py: {file} is no configuration of pip: {error}")
        for section in ("global", "install"):
            if parser.has_section(section):
                settings.update({key.replace("_", "-"): v for key, v in parser.items(section)})
    for name, value in os.environ.items():
        if name.startswith("PIP_") and value:
            settings[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return settings


def pip_files() -> list[Path]:
    """The files that pip reads; later ones win (pip's user guide, Configuration)."""
    chosen = os.environ.get("PIP_CONFIG_FILE", "")
    if chosen == os.devnull:
        return []
    home = Path.home()
    system = os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    user = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = [Path(directory) / "pip" / "pip.conf" for directory in system.split(os.pathsep)]
    files += [
        Path("/Library/Application Support/pip/pip.conf"),
        Path("/etc/pip.conf"),
        home / ".pip" / "pip.conf",
        user / "pip" / "pip.conf",
        home / "Library" / "Application Support" / "pip" / "pip.conf",
    ]
    return [*files, Path(chosen)] if chosen else files


def read(url: str, settings: Mapping[str, str]) -> bytes:
    """Read an address, which may contain a user and a password."""
    parts = urllib.parse.urlsplit(url)
    headers = {}
    if parts.username is not None:
        pair = f"{parts.username}:{parts.password or ''}"
        encoded = base64.b64encode(urllib.parse.unquote_to_bytes(pair)).decode()
        headers["Authorization"] = f"Basic {encoded}"
        parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    if parts.scheme == "file" and parts.path.endswith("/"):
        parts = parts._replace(path=f"{parts.path}index.html")
    request = urllib.request.Request(urllib.parse.urlunsplit(parts), headers=headers)
    context = ssl.create_default_context(cafile=settings.get("cert") or None)
    try:
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            content: bytes = answer.read()
    except urllib.error.HTTPError as refusal:
        # The error holds a connection.
        refusal.close()
        raise
    return content


def with_credentials_of(page: str, link: str) -> str:
    """The link with the user and password of the page, if both are of one host."""
    of_page, of_link = urllib.parse.urlsplit(page), urllib.parse.urlsplit(link)
    if of_link.hostname != of_page.hostname or of_link.username is not None:
        return link
    return urllib.parse.urlunsplit(of_link._replace(netloc=of_page.netloc))
