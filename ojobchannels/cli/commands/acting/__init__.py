"""Commands that run jobs, and that change what others run."""
