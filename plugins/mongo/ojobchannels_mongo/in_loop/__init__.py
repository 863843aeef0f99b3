"""The same requests for an event loop, with the driver's asyncio client."""
