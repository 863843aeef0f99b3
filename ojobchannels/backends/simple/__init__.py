"""`simple`: a store in the memory of one process."""
