"""The fault programme: traffic on a cluster under faults, its history, and the judges of it."""
