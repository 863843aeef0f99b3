"""Schedules: the claims of their fire times, their pauses, and what daemons publish of them."""
