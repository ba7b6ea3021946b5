"""The documented aetcd module tree, served by etcd_client."""

__all__: list[str] = []
