"""Removes the marks of fences that are of no use any more, once a day, when a channel is opened.

A mark is kept for a day after the clock of the server has passed it, and while a lease with its
fence is held. Lower numbers are not fences of leases but numbers of the caller: they are kept.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from ojobchannels.errors import ChannelError
from ojobchannels.hookspecs import FIRST_FENCE
from ojobchannels.remote import Operation, Rule
from ojobchannels.steps import Steps, drive
from ojobchannels_redis import scripts
from ojobchannels_redis.connections import Command
from ojobchannels_redis.keys import Keys
from ojobchannels_redis.scripts import Script
from ojobchannels_redis.server import Client, scanning

_SWEEP: Final = Operation("sweep", Rule.REPEATABLE, patient=False)
_DAY: Final = 86_400_000_000
_PAGE: Final = 1_000

# KEYS: the marks, and what remembers the sweep for a day. Returns the time, if a sweep is due.
_IS_DUE: Final = Script("""
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
if not redis.call('SET', KEYS[2], '', 'NX', 'PX', 86400000) then return false end
local time = redis.call('TIME')
return string.format('%.0f', time[1] * 1000000 + time[2])
""")

# ARGV: key and mark of each; one that is different by now is kept.
_REMOVE: Final = Script("""
for n = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[n]) == ARGV[n + 1] then
    redis.call('HDEL', KEYS[1], ARGV[n])
  end
end
return 1
""")


def sweep(client: Client, keys: Keys) -> None:
    """Remove the marks of one channel, if that is due; what fails is done at another time."""
    with suppress(ChannelError):
        drive(_sweep(client, keys))


def _sweep(client: Client, keys: Keys) -> Steps[None]:
    def run(command: Command) -> Steps[Any]:
        return client.calling(_SWEEP, keys.marks, command)

    now = yield from run((_IS_DUE, 2, keys.marks, keys.swept))
    held: set[bytes] | None = None
    cursor = b"0"
    while now is not None:
        cursor, parts = yield from run(("HSCAN", keys.marks, cursor, "COUNT", _PAGE))
        passed = {
            key: mark
            for key, mark in zip(*[iter(parts)] * 2, strict=True)
            if FIRST_FENCE <= int(mark) <= int(now) - _DAY
        }
        if passed and held is None:
            held = yield from _held(client, keys)
        gone = [part for each in passed.items() if each[1] not in (held or ()) for part in each]
        if gone:
            yield from run((_REMOVE, 1, keys.marks, *gone))
        if cursor == b"0":
            return


def _held(client: Client, keys: Keys) -> Steps[set[bytes]]:
    """Return the fences of all leases that are held, of all channels with that prefix."""
    found = yield from client.calling_each(_SWEEP, scanning(keys.all_locks))
    names = sorted(set().union(*found))
    fences: set[bytes] = set()
    for start in range(0, len(names), _PAGE):
        looks = [(name, (scripts.LOOK, 1, name)) for name in names[start : start + _PAGE]]
        for reply in (yield from client.calling_all(_SWEEP, looks, client.server.settings.timeout)):
            if isinstance(reply, ChannelError):
                raise reply
            fences.update(reply[:1])
    return fences
