"""Job files that run until stopped: schedules, channel watches, reload and stop."""
