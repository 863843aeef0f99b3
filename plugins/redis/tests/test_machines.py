"""The kit's state machines, in real time, on a real server."""

from __future__ import annotations

from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.machines import prove_documents, prove_locks


def test_documents_do_what_the_model_does(url: str) -> None:
    """After any operations, every handle shows what the model contains."""
    prove_documents(Subject("redis", {"url": url}), examples=30)


def test_locks_do_what_the_model_does(url: str) -> None:
    """After any operations, a lock has one holder, and fences grow."""
    prove_locks(Subject("redis", {"url": url}), examples=30)
