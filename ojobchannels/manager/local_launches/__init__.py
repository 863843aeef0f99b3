"""Launched jobs on threads of this process."""
