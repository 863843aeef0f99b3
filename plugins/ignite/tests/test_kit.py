"""The kit on Ignite: its contracts, state machines and torture test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ojobchannels.testing import ChannelConformance
from ojobchannels.testing.machines import prove_documents, prove_locks
from ojobchannels.testing.servers import IgniteServer, or_skip
from ojobchannels.testing.torture.plan import Plan
from ojobchannels.testing.torture.proving import prove_exclusion, prove_late_holders

if TYPE_CHECKING:
    from ojobchannels.testing.kit.subject import Subject


class TestIgnite(ChannelConformance):
    """On a node of the session."""

    @pytest.fixture
    def ojob_subject(self, storage: Subject) -> Subject:
        """A channel of its own."""
        return storage


def test_documents_do_what_the_model_does(storage: Subject) -> None:
    """After any operations, every handle shows what the model contains."""
    prove_documents(storage, examples=8)


def test_locks_do_what_the_model_does(storage: Subject) -> None:
    """After any operations, a lock has one holder, and fences grow."""
    prove_locks(storage, examples=15)


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_ten_thousand_sections() -> None:
    """Eight processes, killed and stopped at work, connected to a node without a proxy."""
    with or_skip(), IgniteServer() as server:
        plan = Plan(sections=10_000, faults=("kill", "stop"), pause=1.5)
        assert prove_exclusion(server.url, plan).done["kill"] > 0


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_late_holders_are_informed_and_refused() -> None:
    """Under faults of every kind, until a late holder was informed and had a write refused."""
    faults = ("kill", "stop", "cut", "reset", "delay", "restart")
    prove_late_holders("ignite", Plan(sections=300, faults=faults, ttl=2))
