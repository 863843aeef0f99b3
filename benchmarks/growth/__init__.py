"""What grows with the history."""
