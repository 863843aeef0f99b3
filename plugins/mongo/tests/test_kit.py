"""The kit on MongoDB: its contracts and state machines, and forked children."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ojobchannels.testing import (
    BatchContract,
    ChannelConformance,
    CrowdContract,
    DocumentContract,
    DocumentStepContract,
    KillContract,
    ManyContract,
    MatchContract,
    OrderContract,
    ProcessContract,
    Subject,
    SubscribeContract,
    VisibilityContract,
    WaitContract,
    WakeupContract,
)
from ojobchannels.testing.contracts.remote.in_loop import LoopSubject
from ojobchannels.testing.machines import prove_documents, prove_locks

if TYPE_CHECKING:
    from conftest import Storage
    from ojobchannels.testing.kit.pytest_fixtures import StartWorker


class _Alone:
    """A channel on a standalone server."""

    @pytest.fixture
    def ojob_subject(self, storage_alone: Storage) -> Subject:
        """A channel of its own."""
        return Subject("mongo", storage_alone.config["args"], label="mongo, standalone")


@pytest.mark.thorough
class TestMongoAlone(
    _Alone,
    SubscribeContract,
    WaitContract,
    VisibilityContract,
    DocumentStepContract,
    CrowdContract,
    ProcessContract,
    KillContract,
):
    """On a standalone server: what needs transactions or change streams on a replica set."""


@pytest.mark.thorough
class TestManyOnMongoAlone(_Alone, ManyContract):
    """On a standalone server, which has no snapshots."""


@pytest.mark.thorough
class TestMongoAloneInLoop(
    DocumentContract,
    MatchContract,
    OrderContract,
    BatchContract,
    WakeupContract,
):
    """The same in an event loop; on a replica set, threads perform these operations."""

    @pytest.fixture
    def ojob_subject(self, storage_alone: Storage) -> Subject:
        """A channel of its own."""
        args = storage_alone.config["args"]
        return LoopSubject("mongo", args, label="mongo, standalone, in a loop")


class TestMongoReplicaSet(ChannelConformance):
    """On a replica set of one."""

    @pytest.fixture
    def ojob_subject(self, replicated_storage: Storage) -> Subject:
        """A channel of its own."""
        return Subject("mongo", replicated_storage.config["args"], label="mongo, a replica set")


@pytest.fixture
def subject(storage: Storage) -> Subject:
    """A storage on each."""
    return Subject("mongo", storage.config["args"])


def test_documents_do_what_the_model_does(subject: Subject) -> None:
    """After any operations, every handle shows what the model contains."""
    prove_documents(subject, examples=8)


def test_locks_do_what_the_model_does(subject: Subject) -> None:
    """After any operations, a lock has one holder, and fences grow."""
    prove_locks(subject, examples=15)


def test_handles_with_equal_settings_share_a_client(storage: Storage) -> None:
    """It is closed with the last of them, also where another one is closed twice."""
    one, other = storage.open(), storage.open("another")
    elsewhere = storage.open(prefix="elsewhere")
    servers = [
        handle.hook.get.get_hookimpls()[0].plugin.connection.server
        for handle in (one, other, elsewhere)
    ]
    assert servers[0] is servers[1] is not servers[2]
    backend = one.hook.get.get_hookimpls()[0].plugin
    one.close()
    backend.close()  # as after an interruption
    other.set("key", 1)
    assert other.get("key") == 1


def test_a_channel_that_was_not_closed_is_closed_with_the_process(
    storage: Storage, start_worker: StartWorker
) -> None:
    """Without a warning of the driver."""
    worker = start_worker(
        """
kept = oc.open_channel("kept", channel_config, prefix="kept")
kept.set("key", 1)
send("done")
""",
        storage,
    )
    assert worker.receive() == "done"
    assert worker.end() == 0
