"""One run of a job: its start, its end, and its record if its process died."""
