"""Contracts about several processes and handles."""
