"""The numbers of entries, which triggers keep from the first question on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import ojobchannels as oc
from ojobchannels_postgres.schema import counting_ddl, ddl

if TYPE_CHECKING:
    from ojobchannels.testing.servers import PostgresServer


def test_the_number_of_entries_is_kept_in_each_transaction(
    server: PostgresServer, admin: Any
) -> None:
    """For two channels and writers of any version, also in transactions that are rolled back."""
    schema = "counted"
    with (
        oc.open_channel("a", server.url, schema=schema) as one,
        oc.open_channel("b", server.url, schema=schema) as other,
    ):
        one.set_all({1: 1, 2: 2})
        assert (one.size(), other.size()) == (2, 0)
        for channel in (one, other):
            channel.set_all({number: {"n": number} for number in range(1, 9)})
            channel.set(8, "again")
            channel.unset(1)
            channel.unset_all([2, 3, "absent"])
            channel.pop()
            channel.shift()
            assert channel.size() == len(channel.get_keys()) == 3
        with admin.transaction(force_rollback=True):
            admin.execute(f"DELETE FROM {schema}.ojob_documents")
        assert (one.size(), other.size()) == (3, 3)
        admin.execute(f"DELETE FROM {schema}.ojob_documents WHERE channel = 'b' AND position > 0")
        assert (one.size(), other.size()) == (3, 0)
        one.destroy()
        assert one.size() == 0


def test_writers_that_add_at_once_are_all_counted(server: PostgresServer) -> None:
    """Beside one that asks for the first time, which waits for them."""
    schema = "crowd"
    with oc.open_channel("a", server.url, schema=schema) as first:

        def add(writer: int) -> None:
            for number in range(20):
                first.set(f"{writer} {number}", number)

        with ThreadPoolExecutor(4) as pool:
            added = [pool.submit(add, writer) for writer in range(3)]
            sizes = [pool.submit(first.size) for _ in range(3)]
            for adding in added:
                adding.result()
            for counting in sizes:
                counting.result()
        assert first.size() == len(first.get_keys()) == 60


def test_a_first_size_does_not_wait_for_a_forgotten_transaction(
    server: PostgresServer, admin: Any
) -> None:
    """It counts; writers do not wait behind it, and another handle creates the counts later."""
    schema = "forgotten"
    with oc.open_channel("a", server.url, schema=schema, timeout=1) as channel:
        channel.set(1, 1)
        with admin.transaction(force_rollback=True):
            admin.execute(f"DELETE FROM {schema}.ojob_documents WHERE channel = 'other'")
            assert channel.size() == 1
            channel.set(2, 2)
        assert not _has_counts(admin, schema)
        assert channel.size() == 2
        with oc.open_channel("a", server.url, schema=schema) as other:
            assert other.size() == 2
        assert _has_counts(admin, schema)
        channel.unset(1)
        assert channel.size() == 1


def test_an_administrator_may_create_the_counts(server: PostgresServer, admin: Any) -> None:
    """By the statements that the command prints."""
    with oc.open_channel("a", server.url, schema="adm'in") as channel:
        channel.set(1, 1)
        admin.execute(counting_ddl("adm'in"))
        channel.set(2, 2)
        assert channel.size() == 2
    assert _has_counts(admin, "adm'in")


def test_a_user_without_the_right_to_create_counts(server: PostgresServer, admin: Any) -> None:
    """It gets the size by counting, and adds to the numbers that others read."""
    admin.execute("CREATE ROLE plain LOGIN; CREATE SCHEMA plain")
    admin.execute(ddl("plain"))
    admin.execute("GRANT USAGE ON SCHEMA plain TO plain")
    admin.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA plain TO plain")
    url = server.url.replace("postgres@", "plain@")
    with oc.open_channel("a", url, schema="plain") as user:
        user.set(1, 1)
        assert user.size() == 1
        with oc.open_channel("a", server.url, schema="plain") as owner:
            assert owner.size() == 1
            user.set(2, 2)
            user.unset(1)
            user.set(3, 3)
            assert (owner.size(), user.size()) == (2, 2)
    with oc.open_channel("a", url, schema="plain") as user:
        assert user.size() == 2


def _has_counts(admin: Any, schema: str) -> bool:
    tables = "SELECT FROM pg_tables WHERE tablename = 'ojob_counts' AND schemaname = %s"
    return admin.execute(tables, [schema]).fetchone() is not None
