"""What a process does that serves schedules: it waits for fire times, and starts what is due."""
