"""Contracts about locks."""
