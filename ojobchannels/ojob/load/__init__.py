"""From a path to a checked job file."""
