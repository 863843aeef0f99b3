"""Commands for authors of job files, and for setting up channels."""
