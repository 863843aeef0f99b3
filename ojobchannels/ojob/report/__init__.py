"""The output of a run: outcomes and events, on the console and in log files."""
