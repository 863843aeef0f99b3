"""The kit on Ignite: its contracts and state machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ojobchannels.testing import ChannelConformance
from ojobchannels.testing.machines import prove_documents, prove_locks

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
