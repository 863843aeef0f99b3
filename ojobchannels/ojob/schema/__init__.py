"""The job file format: its model, validation by it, and its JSON Schema."""
