"""Contracts for locks."""
