"""What operators ask for: each action is recorded with its author, and reaches every process."""
