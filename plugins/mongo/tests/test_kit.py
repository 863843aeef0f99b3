"""The kit on MongoDB: its contracts, state machines and torture test, and forked children."""

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
from ojobchannels.testing.servers import MongoServer, or_skip
from ojobchannels.testing.torture.plan import Plan
from ojobchannels.testing.torture.proving import prove_exclusion, prove_late_holders

if TYPE_CHECKING:
    from conftest import Storage

    from ojobchannels.testing.kit.pytest_fixtures import StartWorker

FAULTS = ("kill", "stop", "cut", "reset", "delay", "restart")
on_each = pytest.mark.parametrize(
    ("channel", "faults"),
    [("mongo", FAULTS), ("mongo-replicas", (*FAULTS, "stepdown"))],
    ids=["standalone", "replicated"],
)


class TestMongoAlone(
    SubscribeContract,
    WaitContract,
    VisibilityContract,
    ManyContract,
    DocumentStepContract,
    CrowdContract,
    ProcessContract,
    KillContract,
):
    """On a standalone server: what needs transactions or change streams on a replica set."""

    @pytest.fixture
    def ojob_subject(self, storage_alone: Storage) -> Subject:
        """A channel of its own."""
        return Subject("mongo", storage_alone.config["args"], label="mongo, standalone")


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


@on_each
def test_sections_exclude_each_other_during_faults(channel: str, faults: tuple[str, ...]) -> None:
    """Eight processes on four locks, some hundred sections, and faults of every kind."""
    prove_exclusion(channel, Plan(sections=300, faults=faults, ttl=0.6, pause=0.2))


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_ten_thousand_sections() -> None:
    """Eight processes, killed and stopped at work, connected to the server without a proxy."""
    with or_skip(), MongoServer() as server:
        plan = Plan(sections=10_000, faults=("kill", "stop"), pause=1.5)
        assert prove_exclusion(server.url, plan).done["kill"] > 0


@pytest.mark.torture
@pytest.mark.timeout(600)
@on_each
def test_late_holders_are_informed_and_refused(channel: str, faults: tuple[str, ...]) -> None:
    """Under faults of every kind, until a late holder was informed and had a write refused."""
    prove_late_holders(channel, Plan(sections=500, faults=faults, ttl=0.6))


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
