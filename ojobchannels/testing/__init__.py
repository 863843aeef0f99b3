"""What tests of channels stand on: real servers and a proxy that breaks connections.

Nothing is imported here; ask for `ojobchannels.testing.servers` or `ojobchannels.testing.proxy`.
"""
