"""Fire times of schedules, and the scheduler thread that waits for them."""
