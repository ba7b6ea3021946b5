"""Other clients of etcd, in one process with ours and by their own programs."""
