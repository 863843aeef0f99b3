"""Recipes for channels: a durable queue, and a director that executes tasks once."""
