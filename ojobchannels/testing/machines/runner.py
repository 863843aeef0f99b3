"""Runs the state machines: number of examples, seed, and the report of a failure."""

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
from ojobchannels.testing.machines.base import ChannelMachine, Failure, ShrinkTimeout
from ojobchannels.testing.machines.documents import DocumentMachine
from ojobchannels.testing.machines.locks import LockMachine

EXAMPLES: Final = "OJOBCHANNELS_TEST_EXAMPLES"
SEED: Final = "OJOBCHANNELS_TEST_SEED"


def prove_documents(
    subject: Subject, *, examples: int = 100, steps: int = 25, seed: int | None = None
) -> None:
    """Test that documents behave like the model for random sequences of operations.

    Args:
        subject: Type and options; each example uses a channel with a new name.
        examples: Number of sequences; the variable OJOBCHANNELS_TEST_EXAMPLES multiplies it.
        steps: Maximum number of operations in a sequence.
        seed: Seed of the random choices; by default OJOBCHANNELS_TEST_SEED, or a new one.

    Raises:
        AssertionError: A result differs from the model; its notes have the shortest trace that was
            found, and the seed.
    """
    _prove(DocumentMachine, subject, examples, steps, seed)


def prove_locks(
    subject: Subject, *, examples: int = 100, steps: int = 25, seed: int | None = None
) -> None:
    """Test that locks behave like the model; the arguments are those of `prove_documents`.

    With the capability ``clock``, a manual clock lets time pass. Without it, leases are short and
    really expire; close to the end of a lease the model accepts either result.

    Raises:
        AssertionError: A result differs from the model.
    """
    _prove(LockMachine, subject, examples, steps, seed)


def document_machine(make: Callable[[], Subject], **limits: Any) -> type:
    """Return a pytest class whose test calls `prove_documents`.

    Args:
        make: Returns the subject; called by the test.
        limits: ``examples``, ``steps`` and ``seed`` of `prove_documents`.
    """

    class TestDocuments:
        def test_documents_behave_like_the_model(self) -> None:
            """After any sequence of operations, each handle reads the entries of the model."""
            prove_documents(make(), **limits)

    return TestDocuments


def lock_machine(make: Callable[[], Subject], **limits: Any) -> type:
    """Return a pytest class whose test calls `prove_locks`.

    Args:
        make: Returns the subject; called by the test.
        limits: ``examples``, ``steps`` and ``seed`` of `prove_locks`.
    """

    class TestLocks:
        def test_locks_behave_like_the_model(self) -> None:
            """In any sequence of operations, a lock has at most one holder, and fences increase."""
            prove_locks(make(), **limits)

    return TestLocks


def _prove(
    machine: type[ChannelMachine], subject: Subject, examples: int, steps: int, seed: int | None
) -> None:
    __tracebackhide__ = True
    count = max(round(examples * float(os.environ.get(EXAMPLES, "1"))), 1)
    if seed is None:
        seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(2**32))
    seed_hint = f"seed {seed}: set {SEED}={seed} to repeat this run"
    sys.stdout.write(f"{machine.__name__} on {subject.label}, {count} examples, {seed_hint}\n")
    failures: list[Failure] = []
    names = {"subject": subject, "failures": failures}
    proof = hypothesis.seed(seed)(type(machine.__name__, (machine,), names))
    try:
        run_state_machine_as_test(
            proof,
            settings=hypothesis.settings(
                max_examples=count,
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
    except ShrinkTimeout:
        heading = "The shortest failing sequence that was found within the time limit"
        raise _with_trace(min(failures, key=_length), heading, seed_hint) from None
    except HypothesisException:
        if not failures:
            raise
        heading = "The failure is not reproducible; its sequence"
        raise _with_trace(min(failures, key=_length), heading, seed_hint) from None
    except Exception as error:
        if not failures:
            error.add_note(seed_hint)
            raise
        failures[-1].error.__notes__ = []  # the story of Hypothesis has lines of its own code
        raise _with_trace(failures[-1], "A sequence that fails", seed_hint) from None


def _length(failure: Failure) -> int:
    return len(failure.trace)


def _with_trace(failure: Failure, heading: str, seed_hint: str) -> Exception:
    """Return the error of a failure, with its trace as notes."""
    lines = "\n".join(f"  {sentence}" for sentence in failure.trace)
    failure.error.add_note(f"{heading}:\n{lines}")
    failure.error.add_note(seed_hint)
    return failure.error
