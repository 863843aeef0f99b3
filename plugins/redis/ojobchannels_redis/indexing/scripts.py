"""The Lua scripts of the indexes; each is one atomic step on the server.

An index is a sorted set. One of texts has members `text NUL position`, all with the same score, so
that they are ordered by their bytes; one of numbers has `position`, by the number. A position has
16 digits. A member counts only while an entry has its position: each change gives an entry another
one. So no program that writes entries needs to know of indexes. A member that does not count any
more is removed when it is met, and the whole index when it has too many of them.

A hash has, by the key of each index, the position up to which the changes are in it. So that an
index that is gone (evicted, or deleted by hand) differs from one without members, each has one
more member, which comes after all that are looked for.
"""

from typing import Final

from ojobchannels_redis.scripts import Script

_KEYS: Final = """
local VALUES, ORDER, WRITTEN, COUNT, MARKS, INDEX =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local mark = redis.call('HGET', MARKS, INDEX) or '0'
"""

# ARGV: a command that reads a range, its first and last member or score, the number of members to
# leave out, and that to read. Returns 'changes', the position up to which they are known, and value
# and position of entries that are to be added first; or 'rows', the number of members, the position
# of the last one, and key, value and position of each entry.
FIND: Final = Script(
    _KEYS
    + """
if mark ~= '0' and redis.call('EXISTS', INDEX) == 0
  or tonumber(mark) > tonumber(redis.call('GET', COUNT) or '0')
  or redis.call('ZCARD', INDEX) > 2 * redis.call('HLEN', VALUES) + 1000 then
  redis.call('UNLINK', INDEX)
  redis.call('HDEL', MARKS, INDEX)
  mark = '0'
end
local changes =
  redis.call('ZRANGEBYSCORE', ORDER, '(' .. mark, 'inf', 'WITHSCORES', 'LIMIT', 0, 1000)
if #changes > 0 then
  local keys = {}
  for n = 1, #changes, 2 do keys[#keys + 1] = changes[n] end
  local page = {'changes', mark}
  for n, value in ipairs(redis.call('HMGET', VALUES, unpack(keys))) do
    page[#page + 1] = value or 'null'
    page[#page + 1] = changes[2 * n]
  end
  return page
end
local members = redis.call(ARGV[1], INDEX, ARGV[2], ARGV[3], 'LIMIT', ARGV[4], ARGV[5])
local page = {'rows', #members, string.sub(members[#members] or '', -16)}
for _, member in ipairs(members) do
  local position = string.sub(member, -16)
  local key = redis.call('ZRANGEBYSCORE', ORDER, position, position, 'LIMIT', 0, 1)[1]
  if key then
    page[#page + 1] = redis.call('HGET', WRITTEN, key) or key
    page[#page + 1] = redis.call('HGET', VALUES, key)
    page[#page + 1] = position
  else
    redis.call('ZREM', INDEX, member)
  end
end
return page
"""
)

# ARGV: the position up to which the changes were known, that up to which they are known now, and
# score and member of each; the first is a member that is never removed.
ADD: Final = Script(
    _KEYS
    + """
if mark ~= ARGV[1] then return 0 end
for n = 3, #ARGV, 2 do redis.call('ZADD', INDEX, ARGV[n], ARGV[n + 1]) end
redis.call('HSET', MARKS, INDEX, ARGV[2])
return 1
"""
)
