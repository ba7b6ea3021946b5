"""The documented module `aetcd.watcher`."""

from etcd_watch import Watcher, WatcherCallback

__all__ = ["Watcher", "WatcherCallback"]
