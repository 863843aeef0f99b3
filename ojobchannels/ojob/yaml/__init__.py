"""Job files as text: read YAML and JSON with the position of every node."""
