"""Refuses an `etcd_client` that is not the one that `aetcd` is made of."""

import etcd_client

__all__: list[str] = []

# The distribution etcd-client-py installs a module of the same name, and replaces its first file.
if not hasattr(etcd_client, "ChannelView"):
    raise ImportError(
        "the module etcd_client is not that of the distribution etcd-client, which aetcd needs:"
        " another distribution, such as etcd-client-py, has replaced or removed its files. Run"
        " `pip uninstall etcd-client-py`, then"
        " `pip install --force-reinstall --no-deps etcd-client`.",
        name="etcd_client",
    )
