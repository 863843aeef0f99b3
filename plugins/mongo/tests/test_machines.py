"""The kit's state machines, in real time, on a standalone server and on a replica set."""

from __future__ import annotations

from typing import Any

import pytest

from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.machines import prove_documents, prove_locks


@pytest.fixture
def subject(storage: Any) -> Subject:
    """A storage on each."""
    return Subject("mongo", storage.config["args"])


def test_documents_do_what_the_model_does(subject: Subject) -> None:
    """After any operations, every handle shows what the model contains."""
    prove_documents(subject, examples=8)


def test_locks_do_what_the_model_does(subject: Subject) -> None:
    """After any operations, a lock has one holder, and fences grow."""
    prove_locks(subject, examples=15)
