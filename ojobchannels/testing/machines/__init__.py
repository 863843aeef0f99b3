"""State machines that prove a backend against small models: documents, and locks.

Hypothesis chooses the operations, on several handles of one channel, and shrinks what fails to a
story that a person can read. Authors of backends write one line::

    TestDocuments = document_machine(lambda: Subject("mytype", {"url": "…"}))
    TestLocks = lock_machine(lambda: Subject("mytype", {"url": "…"}))

or call `prove_documents` and `prove_locks` in a test that has a subject at hand.
"""

from ojobchannels.testing.machines.documents import DocumentMachine
from ojobchannels.testing.machines.locks import LockMachine
from ojobchannels.testing.machines.proving import (
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
