"""The modules of etcd-sync that only export: the package itself, and `errors`."""

from __future__ import annotations

from public_source import Place, modules, resolve
from sync_surface import kinds
from workspace import packages

__all__ = ["errors", "package"]

# What works with the channel or the event loop of the asynchronous client.
ASYNCHRONOUS = {
    "NO_KEYS",
    "Channel",
    "ChannelLike",
    "ChannelView",
    "KeyFields",
    "Keys",
    "Listing",
    "NamespaceView",
    "PendingLease",
    "Rpc",
    "Service",
    "Stream",
    "StreamHandler",
    "WrongEventLoopError",
    "errors",
    "mirror",
}
# What etcd-sync has in addition, or in place of something asynchronous.
OWN = {
    "Iteration": "etcd_sync._iteration",
    "LeaseLoss": "etcd_sync.loss",
    "LockLoss": "etcd_sync.loss",
}

DOCSTRING = '''"""The synchronous client of etcd: the names, arguments and results of `etcd_client`.

    import etcd_sync

    with etcd_sync.Client() as client:
        client.put(b"key", b"value")

A call waits where one of `etcd_client` is awaited, and any number of threads may share a client.
"""

'''


def package(heading: str) -> str:
    """The text of `__init__.py`."""
    imports: dict[str, set[str]] = {}
    names = dict.fromkeys(modules()["etcd_client"].exported, "etcd_client")
    for name in sorted((set(names) | set(OWN)) - ASYNCHRONOUS):
        home = resolve(Place("etcd_client", name))
        sibling = kinds().get((home.module, home.name or ""))
        module = OWN.get(name) or (sibling[0] if sibling is not None else "etcd_client")
        imports.setdefault(module, set()).add(name)
    exported = sorted({name for found in imports.values() for name in found} | {"errors"})
    lines = [DOCSTRING, heading, "\nimport logging\n\n", "from etcd_sync import errors\n"]
    lines += [
        f"from {module} import {', '.join(sorted(found))}\n" for module, found in imports.items()
    ]
    lines += [
        "\n# Without a handler, logging would write to stderr. Programs add their own.\n",
        'logging.getLogger("etcd_sync").addHandler(logging.NullHandler())\n\n',
        f'__version__ = "{packages()["etcd-sync"].version}"\n\n',
        listed(exported),
    ]
    return "".join(lines)


def errors(heading: str) -> str:
    """The text of `errors.py`."""
    exported = modules()["etcd_client.errors"].exported
    return "".join(
        [
            '"""All errors, which are those of `etcd_client`."""\n\n',
            heading,
            f"\nfrom etcd_client.errors import {', '.join(exported)}\n\n",
            listed(exported),
        ]
    )


def listed(names: list[str]) -> str:
    return "__all__ = [\n" + "".join(f'    "{name}",\n' for name in names) + "]\n"
