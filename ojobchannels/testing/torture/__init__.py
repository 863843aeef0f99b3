"""Torture test: processes compete for locks while some of them are killed and suspended.

As a command: ``python -m ojobchannels.testing.torture --channel file --faults kill,stop``. In a
test: ``torture(target, Plan(sections=500))`` of the module `runner`, with a target of the module
`targets`. Nothing is imported here, because worker processes are started often.
"""
