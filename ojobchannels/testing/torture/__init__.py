"""Torture: processes that take locks, work under them, and are killed and stopped meanwhile.

As a command: ``python -m ojobchannels.testing.torture --channel file --faults kill,stop``. In a
test: ``torture(arena, Plan(sections=500))`` of the module `runner`, in a place of the module
`arenas`. Nothing is imported here, since each process that is killed has to be started again.
"""
