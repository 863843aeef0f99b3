"""Durable launches: queued in a channel, taken by any manager that knows the job."""
