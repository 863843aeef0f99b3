"""State machines that test a backend against small models of documents and of locks.

Hypothesis chooses the operations on several handles of one channel, and shrinks a failing sequence
to a short, readable trace. Authors of backends write one line each::

    TestDocuments = document_machine(lambda: Subject("mytype", {"url": "…"}))
    TestLocks = lock_machine(lambda: Subject("mytype", {"url": "…"}))

or call `prove_documents` and `prove_locks` in a test that has a subject.
"""

from ojobchannels.testing.machines.documents import DocumentMachine
from ojobchannels.testing.machines.locks import LockMachine
from ojobchannels.testing.machines.runner import (
    EXAMPLES,
    SEED,
    document_machine,
    lock_machine,
    prove_documents,
    prove_locks,
)

__all__ = [
    "EXAMPLES",
    "SEED",
    "DocumentMachine",
    "LockMachine",
    "document_machine",
    "lock_machine",
    "prove_documents",
    "prove_locks",
]
