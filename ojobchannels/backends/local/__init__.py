"""What `file` and `db` share: locks and waiting between the processes of one host."""
