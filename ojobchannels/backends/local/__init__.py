"""Shared by `file` and `db`: locks, liveness and waiting between the processes of one host."""
