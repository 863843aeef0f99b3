"""The floors: the least that the same work can cost, written out by hand, one module per store.

Nothing of the project is imported here, so that the floor does not move when the project's code
changes. Each does the same work with the same durability: it makes a token and a fence, writes the
holder as JSON, keeps the order of change, and reads the time inside the atomic step. It leaves out
everything else: checks, errors, retries, forks, signals, other versions of a server.
"""
