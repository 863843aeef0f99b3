"""The web page: its first screen with many records, and the whole page in a browser."""
