"""Contracts about documents."""
