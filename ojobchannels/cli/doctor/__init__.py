"""The checks of ``ojob doctor``."""
