"""The kit on PostgreSQL: its contracts and state machines, and forked children."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ojobchannels.testing import ChannelConformance, Subject
from ojobchannels.testing.machines import prove_documents, prove_locks

if TYPE_CHECKING:
    from conftest import Storage


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
