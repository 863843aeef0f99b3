"""Limits of how often a job may start."""
