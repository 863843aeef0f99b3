"""The identity of a process, by which others find out that it has ended."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ojobchannels.host.process_identity import has_ended, this_process

PRINT = """
from ojobchannels.host.process_identity import this_process
print(this_process(), flush=True)
input()
"""


def test_a_process_has_ended_when_it_was_killed() -> None:
    """Another process of the same host finds it gone."""
    command = [sys.executable, "-c", PRINT]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        identity = child.stdout.readline().strip()
        assert identity.split()[-2] == str(child.pid)
        assert not has_ended(identity)
        child.kill()
        child.wait()
    assert has_ended(identity)


def test_a_process_id_that_was_used_again_is_another_process() -> None:
    """The two have different starts."""
    *rest, _start = this_process().split()
    assert not has_ended(this_process())
    assert has_ended(" ".join((*rest, "1")))


@pytest.mark.parametrize("place", [1, 2], ids=["another kernel", "other process ids"])
def test_a_process_elsewhere_is_not_judged(place: int) -> None:
    """Its number means another process there."""
    words = this_process().split()
    words[place], words[-1] = "elsewhere", "1"
    assert not has_ended(" ".join(words))


@pytest.mark.parametrize("text", ["", "0f3a", "process a b", "process a b c d"])
def test_what_is_not_an_identity_is_not_judged(text: str) -> None:
    """Such as the identifier of locks that processes share."""
    assert not has_ended(text)
