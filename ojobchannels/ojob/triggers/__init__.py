"""The fire time that is being handled, and the scheduler thread that waits for fire times."""
