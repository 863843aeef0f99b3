"""When schedules fire, and the thread that waits for it."""
