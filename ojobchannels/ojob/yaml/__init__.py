"""Job files as text: reading YAML and JSON with the position of every node."""
