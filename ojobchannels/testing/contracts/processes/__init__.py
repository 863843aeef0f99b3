"""Contracts for several processes and handles."""
