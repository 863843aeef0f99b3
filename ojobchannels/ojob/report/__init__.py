"""What a run reports: outcomes and events, on the console and in log files."""
