"""Contracts for operations that run at the same time: pairs line by line, crowds, and `close`."""
