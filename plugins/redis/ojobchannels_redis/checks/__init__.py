"""Looking at a server: whether it can serve, and whether its settings lose data."""
