"""Indexes on fields of the values, for reads with a match."""
