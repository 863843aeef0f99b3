"""The same requests for an event loop, with pyignite's asyncio functions."""
