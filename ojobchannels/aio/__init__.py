"""Channels, locks and jobs for asyncio: the same operations, awaited."""
