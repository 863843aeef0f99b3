"""The Lua scripts: each is one atomic step on the server, and reads the server's clock.

No document is decoded here: Lua would damage large integers and empty lists. Numbers that can be
large are passed as text; a double holds microseconds since 1970 exactly until the year 2255.
"""

import hashlib
from typing import Final


class Script:
    """A Lua script: its text, made of parts, and the digest by which EVALSHA calls it."""

    def __init__(self, *parts: str) -> None:
        self.text = "\n".join(parts)
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


# A lock is one string: `token fence until since ttl holder`, or `- fence` if it is free, or
# `- fence token until` while it is reserved for the waiter that was called. Times are microseconds.
# The key expires a day after the clock has passed the fence. The holder info of a lease that was
# never unlocked is kept for a month, so that the next holder can clean up; its record has a second
# line, `fence holder`, for when it repeats its request.
#
# The queue of the waiters is a sorted set of `token wake_channel` by their time of arrival, where
# `wake_channel` is the Pub/Sub channel of their process. UNLOCK calls the first waiter that
# receives the message, and reserves the lock for it for a tenth of a second: one waiter is woken,
# not all, newcomers do not overtake, and a stopped process does not delay the others. No waiter
# joins while the lock is free: beside a record `- fence` there is no queue. The key of the queue is
# an argument, used with pcall, since a cluster refuses scripts of two keys while it moves their
# slot; waiters then notice the lock by looking.
#
# A server that is out of memory refuses SET, unless the script has already written something: so
# where the record of a lock that exists could not be replaced, PEXPIRE follows, which it never
# refuses, and SET again.
#
# What several scripts have in common are parts of their text, since a function of Lua is made again
# in each call of its script, which costs the server a microsecond.

# Replaces the record of the lock by `record`, whose key expires in `keep` milliseconds.
_REPLACE: Final = """
local expires = string.format('%.0f', keep)
if redis.pcall('SET', KEYS[1], record, 'PX', expires).err then
  redis.call('PEXPIRE', KEYS[1], expires)
  redis.call('SET', KEYS[1], record, 'PX', expires)
end
"""

# ARGV: token, ttl in milliseconds, holder, wake channel, queue, and 1 to join the queue if the lock
# is refused, which saves a waiter the call of JOIN. Returns the fence if it is granted, followed by
# fence and holder of a previous lease that was never unlocked; if it is refused, the fence, the
# remaining microseconds, the holder (or the waiter that was called), and 1 if it joined the queue.
LOCK: Final = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local text = redis.call('GET', KEYS[1])
local fence = now
local last, left_behind, till, holder
if text then last = string.match(text, '^- (%d+)$') end
if text and not last then
  local token, before
  last, token, till = string.match(text, '^- (%d+) (%S+) (%d+)$')
  if last then
    holder = '{"next":"the longest-waiting process"}'
  else
    token, last, till, holder, before =
      string.match(text, '^(%S+) (%d+) (%d+) %d+ %d+ ([^\\n]*)\\n?(.*)$')
    if not token then error('OJOBDAMAGED') end
    if token == ARGV[1] and now < tonumber(till) then
      return {last, string.match(before, '^(%d+) (.*)$')}
    end
    left_behind = holder
  end
  if token ~= ARGV[1] and now < tonumber(till) then
    local joined
    if ARGV[6] == '1' then
      joined = redis.pcall('ZADD', ARGV[5], 'NX', now, ARGV[1] .. ' ' .. ARGV[4])
      redis.pcall('PEXPIRE', ARGV[5], 60000)
    end
    return {last, string.format('%.0f', till - now), holder, type(joined) == 'number' and 1 or 0}
  end
  redis.pcall('ZREM', ARGV[5], ARGV[1] .. ' ' .. ARGV[4])
end
if last and last + 1 > fence then fence = last + 1 end
local ttl = ARGV[2] * 1000
local granted = string.format('%.0f', fence)
local record =
  string.format('%s %s %.0f %.0f %.0f %s', ARGV[1], granted, now + ttl, now, ttl, ARGV[3])
if left_behind then record = record .. '\\n' .. last .. ' ' .. left_behind end
redis.call('SET', KEYS[1], record,
  'PX', string.format('%.0f', ARGV[2] + (fence - now) / 1000 + 2592000000))
if left_behind then return {granted, last, left_behind} end
return {granted}
""")

# ARGV: token, wake channel, queue, and the number of receivers that a call needs: 1; 0 in a
# cluster, where a node counts only its own subscribers. A token that does not hold the lock leaves
# the queue, or passes its call on to the next waiter.
UNLOCK: Final = Script(
    """
local text = redis.call('GET', KEYS[1]) or ''
local token, fence, till = string.match(text, '^(%S+) (%d+) (%d+)')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local held = 1
if token ~= ARGV[1] or now >= tonumber(till) then
  redis.pcall('ZREM', ARGV[3], ARGV[1] .. ' ' .. ARGV[2])
  held = 0
  fence, token = string.match(text, '^- (%d+) (%S+) %d+$')
  if token ~= ARGV[1] then return 0 end
end
local record = '- ' .. fence
local first = redis.pcall('ZPOPMIN', ARGV[3])[1]
while first do
  local called, channel = string.match(first, '^(%S+) (%S+)$')
  local receivers = redis.pcall('PUBLISH', channel, called)
  if type(receivers) == 'number' and receivers >= tonumber(ARGV[4]) then
    record = string.format('%s %s %.0f', record, called, now + 100000)
    break
  end
  first = redis.pcall('ZPOPMIN', ARGV[3])[1]
end
local keep = math.max(fence - now, 0) / 1000 + 86400000
""",
    _REPLACE,
    "return held",
)

_LIVE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local text = redis.call('GET', KEYS[1])
local token, fence, till, since, ttl, holder
if text and not string.find(text, '^- %d+') then
  token, fence, till, since, ttl, holder =
    string.match(text, '^(%S+) (%d+) (%d+) (%d+) (%d+) ([^\\n]*)')
  if not token then error('OJOBDAMAGED') end
  if now >= tonumber(till) then token = nil end
end
"""

_RETURN_LEASE: Final = "return {fence, string.format('%.0f', till - now), holder, since, till, ttl}"
# Wakes all waiters in `queue`.
_WAKE_ALL: Final = """
for _, waiter in ipairs(redis.pcall('ZRANGE', queue, 0, -1)) do
  local token, channel = string.match(waiter, '^(%S+) (%S+)$')
  redis.pcall('PUBLISH', channel, token)
end
"""


def _lock_script(*parts: str) -> Script:
    return Script(_LIVE, *parts)


# ARGV: token, ttl in milliseconds, queue. Waiters are woken if the lease became shorter.
EXTEND: Final = _lock_script(
    """
if token ~= ARGV[1] then return 0 end
local ends = now + ARGV[2] * 1000
local record =
  string.format('%s %s %.0f %s %.0f %s', token, fence, ends, since, ARGV[2] * 1000, holder)
local keep = ARGV[2] + math.max(fence - now, 0) / 1000 + 2592000000
""",
    _REPLACE,
    """
local queue = ARGV[3]
if ends < tonumber(till) then
""",
    _WAKE_ALL,
    "end",
    "return 1",
)

# ARGV: token, and the new holder or an empty string.
ADOPT: Final = _lock_script(
    """
if token ~= ARGV[1] then return {} end
if ARGV[2] ~= '' then
  local record = string.format('%s %s %s %s %s %s', token, fence, till, since, ttl, ARGV[2])
  local keep = redis.call('PTTL', KEYS[1])
  if keep <= 0 then keep = 2592000000 end
""",
    _REPLACE,
    "end",
    _RETURN_LEASE,
)

LOOK: Final = _lock_script(
    "if not token then return {} end",
    _RETURN_LEASE,
)

# ARGV: token, wake channel or an empty string, queue. Returns an empty list if the token may lock;
# otherwise the fence, the microseconds to wait, and 1 if it was in the queue before: then it
# will be called, even if the fence changes. A queue that no waiter checks for a minute expires.
JOIN: Final = _lock_script("""
if not token then
  fence, token, till = string.match(text or '', '^- (%d+) (%S+) (%d+)$')
  if not token or token == ARGV[1] or now >= tonumber(till) then return {} end
end
local left = string.format('%.0f', till - now)
if ARGV[2] == '' then return {fence, left, 0} end
local joined = redis.pcall('ZADD', ARGV[3], 'NX', now, ARGV[1] .. ' ' .. ARGV[2])
redis.pcall('PEXPIRE', ARGV[3], 60000)
return {fence, left, joined == 0 and 1 or 0}
""")

# ARGV: queue. The lease expires now; the next holder receives the info of this one.
FORCE_UNLOCK: Final = _lock_script(
    """
if not token then return {} end
local record = string.format('%s %s %.0f %s %s %s', token, fence, now, since, ttl, holder)
local keep = math.max(fence - now, 0) / 1000 + 2592000000
""",
    _REPLACE,
    "local queue = ARGV[1]",
    _WAKE_ALL,
    _RETURN_LEASE,
)

# The keys of the documents: values, order of change, keys as written (where that is not the
# canonical form), marks of fences, counter of changes. A change publishes an empty message on the
# Pub/Sub channel named like the counter.
_DOCUMENTS: Final = """
local VALUES, ORDER, WRITTEN, MARKS, COUNT = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
"""
# Sets `higher` to the mark of `key`, if it is higher than `fence`.
_COMPARE_FENCES: Final = """
local higher
local mark = fence ~= '' and redis.call('HGET', MARKS, key)
-- compared as texts, so that nothing is rounded
if mark and (#fence < #mark or (#fence == #mark and fence < mark)) then higher = mark end
"""
_MARK: Final = "if fence ~= '' then redis.call('HSET', MARKS, key, fence) end"
# Stores `value` at `key`, which was written as `written`, or in canonical form.
_PUT: Final = """
redis.call('ZADD', ORDER, redis.call('INCR', COUNT), key)
redis.call('HSET', VALUES, key, value)
if written == '' then redis.call('HDEL', WRITTEN, key)
else redis.call('HSET', WRITTEN, key, written) end
"""
# Removes `key`, and sets `removed` to 1 or 0.
_REMOVE: Final = """
redis.call('ZREM', ORDER, key)
redis.call('HDEL', WRITTEN, key)
local removed = redis.call('HDEL', VALUES, key)
"""
_TELL: Final = "redis.pcall('PUBLISH', COUNT, '')"


def _document_script(*parts: str) -> Script:
    return Script(_DOCUMENTS, *parts)


# ARGV: key, value, key as written or an empty string, fence or an empty string. Returns the mark
# that is higher, if there is one.
SET: Final = _document_script(
    "local key, value, written, fence = unpack(ARGV)",
    _COMPARE_FENCES,
    "if higher then return higher end",
    _MARK,
    _PUT,
    _TELL,
    "return false",
)

# ARGV: key, and fence or an empty string. Returns the mark that is higher, or 1 or 0 removed.
# It removes first: then a server that is out of memory does not refuse the mark.
UNSET: Final = _document_script(
    "local key, fence = unpack(ARGV)",
    _COMPARE_FENCES,
    "if higher then return higher end",
    _REMOVE,
    _MARK,
    "if removed > 0 then",
    _TELL,
    "end",
    "return removed",
)

# ARGV: key, value, written, fence, 'there' or 'absent', and the expected present text.
# Returns 'stored'; or 'present' with the present text, 'absent', or 'stale' with the higher mark.
COMPARE_AND_SET: Final = _document_script(
    """
local key, value, written, fence, expected, text = unpack(ARGV)
local present = redis.call('HGET', VALUES, key)
if expected == 'absent' then
  if present then return {'present', present} end
elseif not present then return {'absent'}
elseif present ~= text then return {'present', present} end
""",
    _COMPARE_FENCES,
    "if higher then return {'stale', higher} end",
    _MARK,
    _PUT,
    _TELL,
    "return {'stored'}",
)

# ARGV: key, value and written of each entry; no key twice.
SET_ALL: Final = _document_script(
    """
for n = 1, #ARGV, 3 do
  local key, value, written = ARGV[n], ARGV[n + 1], ARGV[n + 2]
""",
    _PUT,
    "end",
    _TELL,
    "return #ARGV / 3",
)

# ARGV: keys.
UNSET_ALL: Final = _document_script(
    """
local all = 0
for n = 1, #ARGV do
  local key = ARGV[n]
""",
    _REMOVE,
    """
  all = all + removed
end
if all > 0 then
""",
    _TELL,
    "end",
    "return all",
)

# ARGV: ZPOPMAX or ZPOPMIN.
TAKE: Final = _document_script(
    """
local key = redis.call(ARGV[1], ORDER)[1]
if not key then return false end
local value = redis.call('HGET', VALUES, key)
""",
    _REMOVE,
    _TELL,
    "return value",
)

# ARGV: ZRANGEBYSCORE or ZREVRANGEBYSCORE, the first and the last score, the number of entries, and
# 'values', 'keys' or 'both'. Returns the position of the last entry, and the entries.
PAGE: Final = _document_script("""
local rows = redis.call(ARGV[1], ORDER, ARGV[2], ARGV[3], 'WITHSCORES', 'LIMIT', 0, ARGV[4])
local page = {rows[#rows] or false}
local CHUNK = 1000
for start = 1, #rows, 2 * CHUNK do
  local stop = math.min(start + 2 * CHUNK - 2, #rows - 1)
  local keys = {}
  for n = start, stop, 2 do keys[#keys + 1] = rows[n] end
  local values, written
  if ARGV[5] ~= 'keys' then values = redis.call('HMGET', VALUES, unpack(keys)) end
  if ARGV[5] ~= 'values' then written = redis.call('HMGET', WRITTEN, unpack(keys)) end
  for n = 1, #keys do
    if written then page[#page + 1] = written[n] or keys[n] end
    if values then page[#page + 1] = values[n] end
    if ARGV[5] == 'both' then page[#page + 1] = rows[start + 2 * n - 1] end
  end
end
return page
""")

# KEYS: beside those of the documents, those of the indexes.
DESTROY: Final = _document_script(
    "redis.call('UNLINK', VALUES, ORDER, WRITTEN, unpack(KEYS, 6))",
    _TELL,
    "return 1",
)
