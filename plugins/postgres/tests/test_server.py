"""What a server may be like: its version, its isolation, its rights, and other users' locks."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import ojobchannels as oc
from ojobchannels.testing import servers
from ojobchannels.testing.contracts.remote.base import use_everything
from ojobchannels.testing.servers import POSTGRES_FLAVOURS, Certificates, PostgresServer, or_skip
from ojobchannels_postgres import statements
from ojobchannels_postgres.schema import ddl, refuse_old

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FIRST = """
SELECT count(*) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND application_name = 'ojobchannels'
"""
RIGHTS = """
CREATE ROLE job LOGIN;
CREATE SCHEMA jobs;
SET search_path = jobs;
{tables}
GRANT USAGE ON SCHEMA jobs TO job;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA jobs TO job;
"""


@pytest.mark.parametrize("flavour", servers.installed(POSTGRES_FLAVOURS))
def test_every_operation_works_on_each_installed_version(flavour: str) -> None:
    """From 13 on."""
    with (
        or_skip(),
        PostgresServer(flavour) as server,
        oc.open_channel("everything", server.url) as channel,
    ):
        use_everything(channel)


def test_a_server_that_is_too_old_is_refused() -> None:
    """Before anything is created there."""
    refuse_old("orders", 130_000)
    with pytest.raises(oc.NotSupported, match="before 13"):
        refuse_old("orders", 120_021)


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_a_stricter_isolation_by_default_does_no_harm(
    server: PostgresServer, admin: Any, isolation: str
) -> None:
    """What it refuses is repeated: eight threads write one channel and take turns at one lock."""
    admin.execute(f"ALTER ROLE postgres SET default_transaction_isolation = '{isolation}'")
    try:
        with oc.open_channel("strict", server.url, timeout=30) as channel:
            use_everything(channel)

            def work(number: int) -> None:
                for turn in range(4):
                    with channel.lock("one", ttl=30, wait=30):
                        channel.set((number + turn) % 3, number)
                    channel.set(f"{number} {turn}", number)
                    assert channel.pop() is not None

            with ThreadPoolExecutor(8) as threads:
                list(threads.map(work, range(8)))
            assert channel.locks() == []
            channel.destroy()
    finally:
        admin.execute("ALTER ROLE postgres RESET default_transaction_isolation")


def test_processes_that_start_at_once_create_the_tables_once(server: PostgresServer) -> None:
    """Each has connections of its own, and all of them work."""
    barrier = threading.Barrier(8)

    def start(number: int) -> None:
        barrier.wait()
        own = 10 + number / 100  # settings of its own, and so a check of its own
        with oc.open_channel("first", server.url, schema="begun at once", timeout=own) as channel:
            channel.set(number, number)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(start, range(8)))
    with oc.open_channel("first", server.url, schema="begun at once") as channel:
        assert sorted(channel.get_all()) == list(range(8))


@pytest.mark.parametrize(
    "setting", ["default_transaction_isolation = 'serializable'", "lock_timeout = '20ms'"]
)
def test_a_process_that_waits_for_the_tables_of_another_finds_them(
    server: PostgresServer, admin: Any, setting: str
) -> None:
    """With any settings of the role: a snapshot from before, or a limit for waiting."""
    schema = f"awaited {setting.partition(' ')[0]}"
    admin.execute(f"ALTER ROLE postgres SET {setting}")
    try:
        with ThreadPoolExecutor(2) as threads, admin.transaction():
            admin.execute("SELECT pg_advisory_xact_lock(hashtext('ojobchannels'))")
            first, second = (
                threads.submit(_open_once, server.url, schema, seconds) for seconds in (30, 31)
            )
            _await_waiting(server, "advisory")
    finally:
        admin.execute("ALTER ROLE postgres RESET ALL")
    assert [first.result(), second.result()] == [True, True]


@pytest.mark.parametrize(
    ("remove", "count"),
    [
        (lambda channel: channel.unset("key", fence=5), 1),
        (lambda channel: channel.unset_all(["key", "other"]), 2),
    ],
)
def test_a_removal_includes_what_was_stored_while_it_waited(
    server: PostgresServer, admin: Any, remove: Callable[[oc.Channel], int], count: int
) -> None:
    """A holder of an older fence that stored first leaves nothing behind a newer removal."""
    with (
        oc.open_channel(f"{count} removed", server.url) as channel,
        ThreadPoolExecutor(2) as threads,
    ):
        channel.set("other", 1)
        with admin.transaction():
            admin.execute("SELECT * FROM ojobchannels.ojob_channels FOR UPDATE")
            stored = threads.submit(channel.set, "key", "stale", fence=3)
            _await_waiting(server, "transactionid")
            removed = threads.submit(remove, channel)
            _await_waiting(server, "tuple")
        stored.result()
        assert removed.result() == count
        assert channel.get("key") is None
        channel.destroy()


@pytest.mark.parametrize("schema", ["it's", "OURS", "EVENTS", "a;\nb", "a\\b", "$1 %s"])
def test_a_schema_may_have_any_name(server: PostgresServer, admin: Any, schema: str) -> None:
    """No part of it is executed, or taken for a placeholder."""
    for own in (10, 11):
        assert _open_once(server.url, schema, own)
    found = admin.execute("SELECT count(*) FROM pg_namespace WHERE nspname = %s", [schema])
    assert found.fetchone() == (1,)


def test_a_user_needs_no_more_rights_than_the_guide_grants(
    server: PostgresServer, admin: Any
) -> None:
    """An administrator creates the tables; the user reads and writes them."""
    admin.execute(RIGHTS.format(tables=ddl("jobs")))
    url = server.url.replace("postgres@", "job@")
    with oc.open_channel("least", url, schema="jobs") as channel:
        use_everything(channel)
    with pytest.raises(oc.ChannelUnavailable, match="grant the rights"):
        oc.open_channel("more", url, schema="other")
    admin.execute("REVOKE UPDATE ON jobs.ojob_locks FROM job")
    with oc.open_channel("less", url, schema="jobs") as channel:
        channel.set("key", 1)
        with pytest.raises(oc.ChannelUnavailable, match="grant the rights"):
            channel.lock("nightly", ttl=30)


def test_tables_of_a_later_version_are_left_alone(server: PostgresServer, admin: Any) -> None:
    """The error says to upgrade."""
    with oc.open_channel("later", server.url, schema="later"):
        pass
    admin.execute('INSERT INTO "later".ojob_versions VALUES (99)')
    with pytest.raises(oc.NotSupported, match="upgrade"):
        oc.open_channel("later", server.url, schema="later")


def test_a_database_in_another_encoding_is_refused(server: PostgresServer, admin: Any) -> None:
    """Not every text could be stored."""
    admin.execute("CREATE DATABASE old ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    url = f"{server.url.rpartition('/')[0]}/old"
    with pytest.raises(oc.NotSupported, match="LATIN1"):
        oc.open_channel("orders", url)


def test_a_call_that_waits_for_a_row_ends_by_its_timeout(
    server: PostgresServer, admin: Any
) -> None:
    """A forgotten transaction holds the row; the server keeps no statement that waits for it."""
    with oc.open_channel("stuck", server.url, timeout=0.5) as channel:
        channel.lock("nightly", ttl=60)
        admin.execute("BEGIN")
        admin.execute("SELECT * FROM ojobchannels.ojob_locks FOR UPDATE")
        began = time.monotonic()
        with pytest.raises(oc.ChannelError):
            channel.force_unlock("nightly")
        assert time.monotonic() - began < 15
        with psycopg.connect(server.url, autocommit=True) as client:
            deadline = time.monotonic() + 15
            while client.execute(FIRST).fetchone() != (0,):
                assert time.monotonic() < deadline
        admin.execute("ROLLBACK")
        assert channel.force_unlock("nightly") is not None


def test_a_refused_lock_writes_nothing(server: PostgresServer, admin: Any) -> None:
    """Neither to the table nor to the log of the server."""
    with oc.open_channel("quiet", server.url) as channel:
        channel.lock("nightly", ttl=60)
        assert channel.add("key", 1)

        def is_refused() -> None:
            for _ in range(20):
                assert channel.try_lock("nightly", ttl=60) is None
                assert not channel.add("key", 2)

        assert _writes(admin, lambda: channel.set("key", 1))  # it is seen if something is written
        assert not _writes(admin, is_refused)


def _writes(admin: Any, work: Callable[[], object]) -> bool:
    """Return whether it writes each time; the server itself writes now and then."""
    for _ in range(3):
        before = _changes(admin)
        work()
        if _changes(admin) == before:
            return False
    return True


def test_a_release_notifies_only_if_another_process_waits(
    server: PostgresServer, admin: Any
) -> None:
    """A notification takes a lock of the whole server at its commit."""
    with oc.open_channel("silent", server.url) as channel:
        backend = channel.hook.get.get_hookimpls()[0].plugin
        admin.execute(f"LISTEN {backend._connection.server.settings.events}")
        with channel.lock("nightly", ttl=30):
            channel.set("key", 1)
        assert list(admin.notifies(timeout=0.1)) == []
        admin.execute("UPDATE ojobchannels.ojob_locks SET awaited = now() + interval '1 minute'")
        channel.lock("nightly", ttl=30).release()
        assert len(list(admin.notifies(timeout=5, stop_after=1))) == 1


def test_a_connection_is_encrypted_and_the_server_checked(tmp_path: Path) -> None:
    """With the parameters of libpq."""
    if POSTGRES_FLAVOURS[1].find() is None:
        pytest.skip("the wheel has no TLS; install a server with: apt-get install postgresql")
    with or_skip():
        certificates = Certificates.make(tmp_path)
        server = PostgresServer("postgresql", certificates=certificates)
    with server:
        url = (
            f"{server.url}?sslmode=verify-ca&sslrootcert={certificates.authority}"
            f"&sslcert={certificates.client}&sslkey={certificates.client}"
        )
        with oc.open_channel("secret", url) as channel:
            use_everything(channel)
        with pytest.raises(oc.ChannelUnavailable):
            oc.open_channel("open", f"{server.url}?sslmode=disable", timeout=2)


def _open_once(url: str, schema: str, seconds: float) -> bool:
    """Open a channel with settings of its own, and so a check of its own, and use it."""
    with oc.open_channel("once", url, schema=schema, timeout=seconds) as channel:
        channel.set(seconds, 1)
        return seconds in channel.get_keys()


def _await_waiting(server: PostgresServer, event: str) -> None:
    """Wait until a statement of ours waits for a lock of a kind."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = %s"
    ours = f"{waiting} AND application_name = 'ojobchannels'"
    deadline = time.monotonic() + 10
    with psycopg.connect(server.url, autocommit=True) as client:
        while client.execute(ours, [event]).fetchone() == (0,):
            assert time.monotonic() < deadline


def _changes(admin: Any) -> int:
    found = admin.execute(
        "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
    ).fetchone()
    return int(found[0])


def test_marks_are_swept_a_day_after_the_clock_has_passed_them(
    server: PostgresServer, admin: Any
) -> None:
    """Once a day, at an open; not those of held leases, and not numbers of the caller's own."""
    schema = "swept"
    day = 86_400_000_000
    old = time.time_ns() // 1000 - 2 * day
    with oc.open_channel("a", server.url, schema=schema) as channel:
        lease = channel.lock("held", ttl=600)
        fences = {"new": lease.fence, "own": 7, "old": old, "removed": old + 1, "held": old + 2}
        for key, fence in fences.items():
            channel.set(key, 1, fence=fence)
        channel.unset("removed")
        lease.to_document()  # so that closing the channel does not release it
        admin.execute(f"UPDATE {schema}.ojob_locks SET fence = {old + 2}")

    def marked() -> set[str]:
        with oc.open_channel("a", server.url, schema=schema) as channel:
            assert channel.get("old") == 1
        rows = admin.execute(f"SELECT id FROM {schema}.ojob_marks WHERE channel <> ''")
        return {row[0] for row in rows}

    assert len(marked()) == 5
    admin.execute(f"UPDATE {schema}.ojob_marks SET fence = fence - {day} WHERE channel = ''")
    assert marked() == {'"new"', '"own"', '"held"'}


def test_entries_are_found_by_their_keys_and_numbers_alone(
    server: PostgresServer, admin: Any
) -> None:
    """Also without statistics of the table, where the server knows nothing about the channel."""
    with oc.open_channel("a", server.url, schema="planned") as channel:
        channel.set_all({number: {"at": number} for number in range(3000)})
        assert len(channel.hook.below(field="at", bound=5, limit=10)) == 5
        indexes = channel.hook.get.get_hookimpls()[0].plugin._indexes
        below = statements.below("OURS.ojob_number(value, 'at')", indexes._own)
        removal = _plan(admin, "planned", statements.REMOVE_ALL, "a", ["1", "2", "3"])
        assert "ojob_documents_pkey" in removal
        numbers = _plan(admin, "planned", below, 5, 10)
        assert "ojob_by_number_at" in numbers
        assert "ojob_documents_in_order" not in removal + numbers
        assert channel.unset_all([0, 1, "absent"]) == 2


def test_many_are_removed_in_time_when_the_server_takes_the_table_for_empty(
    server: PostgresServer, admin: Any
) -> None:
    """As after its statistics were made while a queue was empty; neither reads all for each."""
    with oc.open_channel("a", server.url, schema="emptied") as channel:
        channel.set_all(dict.fromkeys(range(3000), "x"))
        channel.destroy()
        admin.execute("ANALYZE emptied.ojob_documents")
        channel.set_all(dict.fromkeys(range(30_000), "x"))
        assert channel.unset_all(range(0, 30_000, 3)) == 10_000
        channel.destroy()
        assert channel.get_all() == []


def test_a_call_on_an_empty_channel_reads_no_entry_of_others(
    server: PostgresServer, admin: Any
) -> None:
    """Also with a plan for any channel, where statistics say that most entries are of another."""
    with oc.open_channel("full", server.url, schema="beside") as full:
        full.set_all(dict.fromkeys(range(5000), "x"))
        admin.execute("ANALYZE beside.ojob_documents")
    step = statements.bound(statements.STEP_IF_ANY, "beside", "events")
    with admin.transaction():
        admin.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        admin.execute(f"PREPARE step AS {step}")
        plan = "\n".join(row[0] for row in admin.execute("EXPLAIN EXECUTE step('empty')"))
        admin.execute("DEALLOCATE step")
    assert "ojob_documents_in_order" in plan, plan
    assert "Seq Scan on ojob_documents" not in plan, plan


def _plan(admin: Any, schema: str, statement: str, *parameters: Any) -> str:
    """Return the plan of a statement for these parameters, as if it were not prepared."""
    cursor = psycopg.RawCursor(admin)
    cursor.execute(f"EXPLAIN {statements.bound(statement, schema, 'events')}", parameters)
    return "\n".join(row[0] for row in cursor)
