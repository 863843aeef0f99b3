"""Channels whose backend works in the event loop, with its driver's asyncio client."""
