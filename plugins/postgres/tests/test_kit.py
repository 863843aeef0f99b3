"""The kit on PostgreSQL: its contracts, state machines and torture test, and forked children."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ojobchannels.testing import ChannelConformance, Subject
from ojobchannels.testing.machines import prove_documents, prove_locks
from ojobchannels.testing.servers import PostgresServer, or_skip
from ojobchannels.testing.torture.plan import Plan
from ojobchannels.testing.torture.proving import prove_exclusion, prove_late_holders

if TYPE_CHECKING:
    from conftest import Storage


FAULTS = ("kill", "stop", "cut", "reset", "delay", "restart")


class TestPostgres(ChannelConformance):
    """All of it."""

    @pytest.fixture
    def ojob_subject(self, storage: Storage) -> Subject:
        """A channel of its own."""
        return Subject("postgres", storage.config["args"])


@pytest.fixture
def subject(storage: Storage) -> Subject:
    """A storage on the server."""
    return Subject("postgres", storage.config["args"])


def test_documents_do_what_the_model_does(subject: Subject) -> None:
    """After any operations, every handle shows what the model contains."""
    prove_documents(subject, examples=15)


def test_locks_do_what_the_model_does(subject: Subject) -> None:
    """After any operations, a lock has one holder, and fences grow."""
    prove_locks(subject, examples=25)


def test_sections_exclude_each_other_during_faults() -> None:
    """Eight processes on four locks, some hundred sections, and faults of every kind."""
    prove_exclusion("postgres", Plan(sections=300, faults=FAULTS, ttl=0.6, pause=0.2))


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_ten_thousand_sections() -> None:
    """Eight processes, killed and stopped at work, connected to the server without a proxy."""
    with or_skip(), PostgresServer() as server:
        plan = Plan(sections=10_000, faults=("kill", "stop"), pause=3)
        assert prove_exclusion(server.url, plan).done["kill"] > 0


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_late_holders_are_informed_and_refused() -> None:
    """Under faults of every kind, until a late holder was informed and had a write refused."""
    prove_late_holders("postgres", Plan(sections=500, faults=FAULTS, ttl=0.6))


def test_handles_with_equal_settings_share_connections(storage: Storage) -> None:
    """They are closed with the last of them, also where another one is closed twice."""
    one, other = storage.open(), storage.open("another")
    elsewhere = storage.open(timeout=9)
    servers = [
        handle.hook.get.get_hookimpls()[0].plugin._connection.server
        for handle in (one, other, elsewhere)
    ]
    assert servers[0] is servers[1] is not servers[2]
    backend = one.hook.get.get_hookimpls()[0].plugin
    one.close()
    backend.close()  # as after an interruption
    other.set("key", 1)
    assert other.get("key") == 1
