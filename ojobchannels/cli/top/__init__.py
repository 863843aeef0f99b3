"""The live view of ``ojob top``."""
