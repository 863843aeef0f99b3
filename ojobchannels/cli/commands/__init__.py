"""The commands of ``ojob``, one module for each."""
