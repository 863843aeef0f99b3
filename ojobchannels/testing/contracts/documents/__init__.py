"""Contracts for documents."""
