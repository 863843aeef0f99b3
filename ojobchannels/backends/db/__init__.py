"""`db`: a SQLite database, shared by the processes of one host."""
