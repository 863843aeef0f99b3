"""One run of a job file: the calls of its jobs and what they share."""
