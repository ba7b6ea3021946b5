"""Other clients of etcd: in one process with this client, and their own programs."""
