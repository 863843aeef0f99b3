"""The process that runs a job file: its signals, its pid file, its control from outside."""
