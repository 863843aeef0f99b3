"""The commands of ``ojob``, one module each."""
