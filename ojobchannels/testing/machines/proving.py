"""Runs the machines: how many examples, from which seed, and what a failure says."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from typing import Any, Final

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis.errors import HypothesisException
from hypothesis.stateful import run_state_machine_as_test

from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.machines.documents import DocumentMachine
from ojobchannels.testing.machines.locks import LockMachine
from ojobchannels.testing.machines.teller import Enough, Failure, Teller

EXAMPLES: Final = "OJOBCHANNELS_TEST_EXAMPLES"
SEED: Final = "OJOBCHANNELS_TEST_SEED"


def prove_documents(
    subject: Subject, *, examples: int = 100, steps: int = 25, seed: int | None = None
) -> None:
    """Proves that documents do what the model does, whatever the sequence of operations.

    Args:
        subject: Type and options; every example has a channel of a new name.
        examples: How many sequences; the variable OJOBCHANNELS_TEST_EXAMPLES multiplies it.
        steps: How many operations each has at most.
        seed: Where chance begins; by default OJOBCHANNELS_TEST_SEED, or another each time.

    Raises:
        AssertionError: They do not; its notes tell the shortest story that was found, and the seed.
    """
    _prove(DocumentMachine, subject, examples, steps, seed)


def prove_locks(
    subject: Subject, *, examples: int = 100, steps: int = 25, seed: int | None = None
) -> None:
    """Proves that locks do what the model does; its arguments are those of `prove_documents`.

    Where the type has the capability ``clock`` it turns the clock, and takes no time; elsewhere it
    uses short ttls, waits for their ends, and knows of each lease when it certainly lives and when
    it is certainly over.

    Raises:
        AssertionError: They do not.
    """
    _prove(LockMachine, subject, examples, steps, seed)


def document_machine(make: Callable[[], Subject], **limits: Any) -> type:
    """Returns a class for pytest with the proof of `prove_documents` as its test.

    Args:
        make: Called by the test; answers the subject.
        limits: ``examples``, ``steps`` and ``seed`` of `prove_documents`.
    """

    class TestDocuments:
        def test_documents_do_what_the_model_does(self) -> None:
            """Whatever the operations, every handle shows what the model holds."""
            prove_documents(make(), **limits)

    return TestDocuments


def lock_machine(make: Callable[[], Subject], **limits: Any) -> type:
    """Returns a class for pytest with the proof of `prove_locks` as its test.

    Args:
        make: Called by the test; answers the subject.
        limits: ``examples``, ``steps`` and ``seed`` of `prove_locks`.
    """

    class TestLocks:
        def test_locks_do_what_the_model_does(self) -> None:
            """Whatever the operations, a lock has one holder, and fences grow."""
            prove_locks(make(), **limits)

    return TestLocks


def _prove(
    machine: type[Teller], subject: Subject, examples: int, steps: int, seed: int | None
) -> None:
    __tracebackhide__ = True
    wanted = max(round(examples * float(os.environ.get(EXAMPLES, "1"))), 1)
    if seed is None:
        seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(2**32))
    found_with = f"seed {seed}: set {SEED}={seed} to run the same again"
    sys.stdout.write(f"{machine.__name__} on {subject.label}, {wanted} examples, {found_with}\n")
    failures: list[Failure] = []
    names = {"subject": subject, "failures": failures}
    proof = hypothesis.seed(seed)(type(machine.__name__, (machine,), names))
    try:
        run_state_machine_as_test(
            proof,
            settings=hypothesis.settings(
                max_examples=wanted,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                derandomize=False,
                print_blob=False,
                report_multiple_bugs=False,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )
    except Enough:
        raise _told(failures, "The shortest story that was found in time", found_with) from None
    except HypothesisException:
        if not failures:
            raise
        raise _told(failures, "It failed, though not each time", found_with) from None
    except Exception as error:
        error.add_note(found_with)
        raise


def _told(failures: list[Failure], heading: str, found_with: str) -> Exception:
    """Returns the error of the shortest story, with that story."""
    shortest = min(failures, key=lambda failure: len(failure.story))
    lines = "\n".join(f"  {sentence}" for sentence in shortest.story)
    shortest.error.add_note(f"{heading}:\n{lines}")
    shortest.error.add_note(found_with)
    return shortest.error
