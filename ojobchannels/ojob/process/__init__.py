"""The process that runs a job file: its signals and its pid file."""
