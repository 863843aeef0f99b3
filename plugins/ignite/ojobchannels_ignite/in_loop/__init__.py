"""The same requests for an event loop."""
