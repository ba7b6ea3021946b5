"""The documented module `aetcd.utils`."""

from etcd_channel import lease_to_id, prefix_range_end, to_bytes

__all__ = ["lease_to_id", "prefix_range_end", "to_bytes"]
