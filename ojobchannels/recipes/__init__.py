"""Recipes on top of a channel: a queue, and a director that executes things once."""
