"""The same statements for an event loop, on connections of psycopg's asyncio client."""
