"""The same requests for an event loop, on connections of redis-py's asyncio client."""
