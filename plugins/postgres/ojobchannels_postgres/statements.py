"""The statements; OURS and EVENTS stand for the names that `bound` puts in.

``clock_timestamp()`` is the clock of the server at the moment when it is read; ``now()`` would be
that of the start of the transaction, before it waited for a row.

Each statement that changes a document first changes the row of its channel (the step), and so waits
for the one before it: positions are given in the order in which the changes become visible.
"""

from functools import cache
from typing import Final

from ojobchannels.hookspecs import FIRST_FENCE

_NOW: Final = "floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_DIGEST: Final = "left(encode(sha256(convert_to({}, 'UTF8')), 'hex'), 32)"

# Notices of waiters and subscriptions end by themselves; they are renewed in time.
_NOTICE: Final = "clock_timestamp() + interval '15 seconds'"
_SOON: Final = "clock_timestamp() + interval '7 seconds'"


@cache
def bound(statement: str, schema: str, events: str) -> str:
    """Return a statement for a schema, and for a channel of notifications."""
    return statement.replace("EVENTS", events).replace("OURS", f'"{schema}"')


# Documents. $1 is the channel, $2 the key.


def _step(condition: str = "", count: str = "1") -> str:
    return f"""
    step AS (
        INSERT INTO OURS.ojob_channels AS c (channel, position)
        SELECT $1::text, {_NOW} + {count} {condition}
        ON CONFLICT (channel) DO UPDATE SET position = greatest(c.position, {_NOW}) + {count}
        RETURNING position, watched > clock_timestamp() AS watched
    )"""


def _marked(fence: str) -> str:
    return f"""
    marked AS (
        INSERT INTO OURS.ojob_marks AS m (channel, id, fence)
        SELECT $1, $2, {fence}::bigint FROM step
        ON CONFLICT (channel, id) DO UPDATE SET fence = EXCLUDED.fence
        WHERE m.fence <= EXCLUDED.fence
        RETURNING fence
    )"""


_TELL: Final = f"pg_notify('EVENTS', 'd' || {_DIGEST.format('$1')})::text"
_NOTIFY: Final = f"(SELECT CASE WHEN watched THEN {_TELL} END FROM step)"
_PRESENT: Final = """
    present AS (
        SELECT value::text AS value FROM OURS.ojob_documents WHERE channel = $1 AND id = $2
    )"""


def _put(marked: str = "", source: str = "step") -> str:
    return f"""
WITH {_step()} {marked}
INSERT INTO OURS.ojob_documents AS d (channel, id, key, value, position)
SELECT $1, $2, $3::json, $4::json, step.position FROM {source}
ON CONFLICT (channel, id) DO UPDATE
SET key = EXCLUDED.key, value = EXCLUDED.value, position = EXCLUDED.position
RETURNING {_NOTIFY}
"""


def _put_new(marked: str = "", source: str = "step") -> str:
    return f"""
WITH {_PRESENT}, {_step("WHERE NOT EXISTS (SELECT FROM present)")} {marked},
    stored AS (
        INSERT INTO OURS.ojob_documents (channel, id, key, value, position)
        SELECT $1, $2, $3::json, $4::json, step.position FROM {source}
        ON CONFLICT DO NOTHING RETURNING 1
    )
SELECT EXISTS (SELECT FROM stored), (SELECT value FROM present), {_NOTIFY}
"""


def _replace(marked: str = "", source: str = "step") -> str:
    return f"""
WITH {_step()} {marked}
UPDATE OURS.ojob_documents AS d SET key = $3::json, value = $4::json, position = step.position
FROM {source} WHERE d.channel = $1 AND d.id = $2 AND d.position = $5::bigint
RETURNING {_NOTIFY}
"""


GET: Final = "SELECT value::text FROM OURS.ojob_documents WHERE channel = $1 AND id = $2"
PUT: Final = _put()
PUT_FENCED: Final = _put(f", {_marked('$5')}", "step, marked")
PUT_NEW: Final = _put_new()
PUT_NEW_FENCED: Final = _put_new(f", {_marked('$5')}", "step, marked")
COMPARED: Final = """
SELECT d.value::text, d.position FROM OURS.ojob_documents AS d WHERE channel = $1 AND id = $2
"""
REPLACE: Final = _replace()
REPLACE_FENCED: Final = _replace(f", {_marked('$6')}", "step, marked")
MARK: Final = "SELECT fence FROM OURS.ojob_marks WHERE channel = $1 AND id = $2"
PUT_ALL: Final = f"""
WITH {_step(count="$5::bigint")}
INSERT INTO OURS.ojob_documents AS d (channel, id, key, value, position)
SELECT $1, r.id, r.key::json, r.value::json, step.position - $5 + r.number
FROM step, unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS r (id, key, value, number)
ON CONFLICT (channel, id) DO UPDATE
SET key = EXCLUDED.key, value = EXCLUDED.value, position = EXCLUDED.position
RETURNING {_NOTIFY}
"""
REMOVE: Final = f"""
WITH {_PRESENT}, {_step("WHERE EXISTS (SELECT FROM present)")}
DELETE FROM OURS.ojob_documents AS d USING step WHERE d.channel = $1 AND d.id = $2
RETURNING {_NOTIFY}
"""
# By a bound: a list of positions would be compared with each row when the server's statistics are
# of an almost empty table.
REMOVE_OLD: Final = f"""
WITH {_step()}, gone AS (
    DELETE FROM OURS.ojob_documents AS d USING step
    WHERE d.channel = $1 AND d.position <= coalesce((
        SELECT position FROM OURS.ojob_documents WHERE channel = $1 AND position <= $2::bigint
        ORDER BY position OFFSET $3::bigint - 1 LIMIT 1
    ), $2::bigint) RETURNING 1
)
SELECT (SELECT count(*) FROM gone), {_NOTIFY}
"""
# A mark is kept for a day after the clock has passed it, and while a lease with its fence is held.
# Lower numbers are not fences of leases but numbers of the caller. The mark of the channel without
# a name, which no channel can have, is the time of the last sweep.
_DAY: Final = 86_400_000_000
SWEEP_MARKS: Final = f"""
WITH due AS (
    INSERT INTO OURS.ojob_marks AS m (channel, id, fence) VALUES ('', 'swept', {_NOW})
    ON CONFLICT (channel, id) DO UPDATE SET fence = EXCLUDED.fence
    WHERE m.fence < EXCLUDED.fence - {_DAY}
    RETURNING fence
)
DELETE FROM OURS.ojob_marks AS m USING due
WHERE m.channel <> '' AND m.fence BETWEEN {FIRST_FENCE} AND due.fence - {_DAY}
AND NOT EXISTS (SELECT FROM OURS.ojob_locks AS l WHERE l.token <> '' AND l.fence = m.fence)
"""
# In one transaction: the second statement sees what the step waited for. If the channel has no
# entries the step does nothing, and then neither does the second statement. The index finds the
# last entry, where EXISTS would read the table for any, since most of it is of another channel.
_END: Final = "(SELECT {}(position) FROM OURS.ojob_documents WHERE channel = $1)"
STEP_IF_ANY: Final = f"""
WITH {_step(f"WHERE {_END.format('max')} IS NOT NULL")}
SELECT position FROM step
"""
_STEPPED: Final = "c.channel = $1 AND c.xmin = pg_current_xact_id_if_assigned()::xid"
_TELL_WATCHERS: Final = f"CASE WHEN c.watched > clock_timestamp() THEN {_TELL} END"
_TAKE: Final = f"""
DELETE FROM OURS.ojob_documents AS d USING OURS.ojob_channels AS c
WHERE d.channel = $1 AND {_STEPPED}
AND d.position = {_END}
RETURNING d.value::text, {_TELL_WATCHERS}
"""
TAKE_FIRST: Final = _TAKE.format("min")
TAKE_LAST: Final = _TAKE.format("max")
# Each row is looked up by its key, in an order that only the primary key has: without statistics,
# or with those of an almost empty table, the server would rather read all rows of the channel.
_FOUND: Final = """
    SELECT found.at FROM unnest($2::text[]) AS r (id), LATERAL (
        SELECT ctid AS at FROM OURS.ojob_documents
        WHERE channel = $1 AND id BETWEEN r.id AND r.id ORDER BY id LIMIT 1
    ) AS found
"""
REMOVE_ALL: Final = f"""
WITH gone AS (
    DELETE FROM OURS.ojob_documents AS d USING OURS.ojob_channels AS c
    WHERE d.ctid = ANY (ARRAY({_FOUND})) AND {_STEPPED} RETURNING 1
)
SELECT (SELECT count(*) FROM gone), {_TELL_WATCHERS}
FROM OURS.ojob_channels AS c WHERE {_STEPPED} AND EXISTS (SELECT FROM gone)
"""
MARK_IF_NEWEST: Final = f"""
WITH {_step()}, {_marked("$3")}
SELECT EXISTS (SELECT FROM marked)
"""
REMOVE_MARKED: Final = f"""
DELETE FROM OURS.ojob_documents AS d USING OURS.ojob_channels AS c, OURS.ojob_marks AS m
WHERE d.channel = $1 AND d.id = $2 AND {_STEPPED}
AND m.channel = $1 AND m.id = $2 AND m.fence = $3::bigint
RETURNING {_TELL_WATCHERS}
"""
# $2 is a position, $3 the number of rows, $4 parts that the value's text must contain.
_ROWS: Final = """
SELECT {columns}, position FROM OURS.ojob_documents AS d
WHERE channel = $1 AND position {beyond} $2::bigint
AND NOT EXISTS (SELECT FROM unnest($4::text[]) AS part WHERE strpos(d.value::text, part) = 0)
{more} ORDER BY position {order} LIMIT $3::bigint
"""


def _rows(columns: str, newest_first: bool, more: str = "") -> str:
    beyond, order = ("<", "DESC") if newest_first else (">", "ASC")
    return _ROWS.format(columns=columns, beyond=beyond, order=order, more=more)


_ITEM: Final = "key::text, value::text"
VALUES: Final = _rows("id, value::text", newest_first=False)
KEYS: Final = _rows("id, key::text", newest_first=False)
OLDEST_FIRST: Final = _rows(_ITEM, newest_first=False)
NEWEST_FIRST: Final = _rows(_ITEM, newest_first=True)


def by_field(condition: str, newest_first: bool) -> str:
    """Return the statement for the items that fulfil a further condition, on $5."""
    return _rows(_ITEM, newest_first, f"AND {condition}")


def below(number: str, own: str) -> str:
    """Return the statement for the first $2 items, by an expression that is below $1.

    The channel is named once, as in the index: a second condition would be taken for a narrower
    one, for which another index is read, too.
    """
    return f"""
SELECT {_ITEM}, position FROM OURS.ojob_documents AS d
WHERE {own} AND {number} < $1::double precision ORDER BY {number} LIMIT $2::bigint
"""


SIZE: Final = "SELECT count(*) FROM OURS.ojob_documents WHERE channel = $1"
SIZE_UNTIL: Final = f"{SIZE} AND position <= $2::bigint"
_ENTRIES: Final = "coalesce((SELECT entries FROM OURS.ojob_counts WHERE channel = $1), 0)"
SIZE_KEPT: Final = f"SELECT {_ENTRIES}"
SIZE_KEPT_UNTIL: Final = f"SELECT {_ENTRIES} - ({SIZE} AND position > $2::bigint)"
LAST: Final = "SELECT max(position) FROM OURS.ojob_documents WHERE channel = $1"
VERSION: Final = "SELECT position FROM OURS.ojob_channels WHERE channel = $1"
WATCH: Final = f"""
INSERT INTO OURS.ojob_channels AS c (channel, position, watched)
SELECT $1::text, {_NOW}, {_NOTICE}
ON CONFLICT (channel) DO UPDATE SET watched = EXCLUDED.watched
RETURNING position
"""

# Locks. $1 is the channel, $2 the lock, $3 a token. The last parameter of what releases or extends
# a lock is the name of this process, which wakes its own waiters.

_LIVE: Final = "token <> '' AND until > clock_timestamp()"
_LEFT: Final = "ceil(extract(epoch FROM until - clock_timestamp()) * 1000)::bigint"
_UNTIL: Final = "clock_timestamp() + {} * interval '1 millisecond'"
_INFO: Final = """
    name, fence, holder::text, floor(extract(epoch FROM since) * 1000)::bigint,
    floor(extract(epoch FROM until) * 1000)::bigint
"""
_LEFT_BEHIND: Final = "json_build_object('fence', {0}.fence, 'holder', {0}.holder)"
_LOCK_DIGEST: Final = f"{_DIGEST.format('l.channel')} || {_DIGEST.format('l.id')}"
_CALL: Final = (
    "CASE WHEN l.awaited > clock_timestamp() "
    f"THEN pg_notify('EVENTS', '{{}}' || {_LOCK_DIGEST} || {{}}::text)::text END"
)
_MINE: Final = f"channel = $1 AND id = $2 AND token = $3 AND {_LIVE}"

# $3 name, $4 token, $5 ttl, $6 holder. Nothing is written while another token holds the lock. It
# returns no row if the lock was granted to another one meanwhile.
LOCK: Final = f"""
WITH held AS (
    SELECT fence, token, holder::text AS holder, {_LEFT} AS remaining
    FROM OURS.ojob_locks WHERE channel = $1 AND id = $2 AND {_LIVE}
), granted AS (
    INSERT INTO OURS.ojob_locks AS l (channel, id, name, fence, token, ttl, until, since, holder)
    SELECT $1, $2, $3, {_NOW}, $4, $5::bigint, {_UNTIL.format("$5::bigint")}, clock_timestamp(),
        $6::json
    WHERE NOT EXISTS (SELECT FROM held)
    ON CONFLICT (channel, id) DO UPDATE
    SET fence = greatest(l.fence + 1, {_NOW}), token = EXCLUDED.token, ttl = EXCLUDED.ttl,
        until = {_UNTIL.format("EXCLUDED.ttl")}, since = clock_timestamp(),
        holder = EXCLUDED.holder,
        previous = CASE WHEN l.token <> '' THEN {_LEFT_BEHIND.format("l")} ELSE l.previous END
    WHERE NOT (l.token <> '' AND l.until > clock_timestamp())
    RETURNING fence, token, previous::text
)
SELECT fence, token, previous, NULL::bigint FROM granted
UNION ALL SELECT fence, token, holder, remaining FROM held
"""
UNLOCK: Final = f"""
UPDATE OURS.ojob_locks AS l
SET token = '', holder = '{{}}', previous = NULL, until = clock_timestamp(), last = $3
WHERE {_MINE}
RETURNING {_CALL.format("r", "$4")}
"""
UNLOCK_ALL: Final = f"""
UPDATE OURS.ojob_locks AS l
SET token = '', holder = '{{}}', previous = NULL, until = clock_timestamp(), last = r.token
FROM unnest($2::text[], $3::text[]) AS r (id, token)
WHERE l.channel = $1 AND l.id = r.id AND l.token = r.token AND l.until > clock_timestamp()
RETURNING {_CALL.format("r", "$4")}
"""
UNLOCKED_BY: Final = "SELECT last FROM OURS.ojob_locks WHERE channel = $1 AND id = $2"
EXTEND: Final = f"""
UPDATE OURS.ojob_locks AS l SET ttl = r.ttl, until = {_UNTIL.format("r.ttl")}
FROM unnest($2::text[], $3::text[], $4::bigint[]) AS r (id, token, ttl)
WHERE l.channel = $1 AND l.id = r.id AND l.token = r.token AND l.until > clock_timestamp()
RETURNING l.id, l.token, {_CALL.format("c", "$5")}
"""
ADOPT: Final = f"""
UPDATE OURS.ojob_locks SET holder = $4::json WHERE {_MINE} RETURNING fence, ttl, {_LEFT}
"""
HELD: Final = f"SELECT fence, ttl, {_LEFT} FROM OURS.ojob_locks WHERE {_MINE}"
FORCE_UNLOCK: Final = f"""
WITH evicted AS (
    SELECT * FROM OURS.ojob_locks WHERE channel = $1 AND id = $2 AND {_LIVE} FOR UPDATE
), freed AS (
    UPDATE OURS.ojob_locks AS l
    SET token = '', holder = '{{}}', previous = {_LEFT_BEHIND.format("e")},
        until = clock_timestamp(), last = ''
    FROM evicted AS e WHERE l.channel = e.channel AND l.id = e.id
    RETURNING {_CALL.format("r", "$3")}
)
SELECT {_INFO}, (SELECT count(*) FROM freed) FROM evicted
"""
LOCK_INFO: Final = f"""
SELECT {_INFO} FROM OURS.ojob_locks WHERE channel = $1 AND id = $2 AND {_LIVE}
"""
LOCKS: Final = f"SELECT {_INFO} FROM OURS.ojob_locks WHERE channel = $1 AND {_LIVE}"
LOOK: Final = f"""
SELECT fence, {_LEFT}, coalesce(awaited > {_SOON}, false)
FROM OURS.ojob_locks WHERE channel = $1 AND id = $2 AND {_LIVE}
"""
AWAIT: Final = f"""
UPDATE OURS.ojob_locks SET awaited = {_NOTICE}
WHERE channel = $1 AND id = $2 AND {_LIVE} RETURNING fence, {_LEFT}
"""
NOTIFY: Final = "SELECT pg_notify('EVENTS', $1)"
LISTEN: Final = "LISTEN EVENTS"
VERSION_OF_TABLES: Final = "SELECT max(version) FROM OURS.ojob_versions"
# $1 is the schema. Read from the catalog: to_regclass and to_regnamespace can return what the
# session knew before it waited for the lock.
HAS_SCHEMA: Final = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)"
HAS_TABLES: Final = """
SELECT EXISTS (
    SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = 'ojob_versions'
)
"""
# The default may be an isolation in which a statement does not see what it waited for.
BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
PID: Final = "SELECT pg_backend_pid()"
# Until the transaction ends, which is what a pooler keeps on one connection.
MIGRATE_ALONE: Final = "SELECT pg_advisory_xact_lock(hashtext('ojobchannels'))"
# For the rest of the transaction. $1 is in milliseconds.
END_EACH_AFTER: Final = "SELECT set_config('statement_timeout', $1::int::text, true)"
WAIT_A_MOMENT: Final = "SET LOCAL lock_timeout = '2s'"
CREATE_SCHEMA: Final = "CREATE SCHEMA OURS"

# The state of the server: its version, its clock in milliseconds, and how it keeps what it stores.
HEALTH: Final = """
SELECT current_setting('server_version'),
    floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    current_setting('fsync'), current_setting('synchronous_commit')
"""

# The numbers of entries. The schema is $1.
HAS_COUNTS: Final = """
SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = 'ojob_counts' AND has_table_privilege(c.oid, 'SELECT')
"""


def _counting(name: str, event: str, rows: str, sign: str) -> tuple[str, str]:
    """Return the statements for a trigger; it has its owner's rights, for the writers have none."""
    return (
        f"""
CREATE OR REPLACE FUNCTION OURS.{name}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO OURS.ojob_counts AS c (channel, entries)
    SELECT channel, {sign} count(*) FROM changed GROUP BY channel
    ON CONFLICT (channel) DO UPDATE SET entries = c.entries + EXCLUDED.entries;
    RETURN NULL;
END $$
""",
        f"""
CREATE TRIGGER {name} AFTER {event} ON OURS.ojob_documents REFERENCING {rows} TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION OURS.{name}()
""",
    )


# The triggers come before the first count: they wait for the writers, and keep new ones waiting.
COUNTS: Final = (
    """
CREATE TABLE IF NOT EXISTS OURS.ojob_counts (
    channel text COLLATE "C" PRIMARY KEY,
    entries bigint NOT NULL
) WITH (fillfactor = 50)
""",
    *_counting("ojob_added", "INSERT", "NEW", "+"),
    *_counting("ojob_removed", "DELETE", "OLD", "-"),
    """
INSERT INTO OURS.ojob_counts
SELECT channel, count(*) FROM OURS.ojob_documents GROUP BY channel
""",
)
