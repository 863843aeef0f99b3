"""Following the run records over all processes, with a memory that they share."""
