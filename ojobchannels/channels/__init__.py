"""Open channels: operations, leases and their renewal, subscriptions."""
