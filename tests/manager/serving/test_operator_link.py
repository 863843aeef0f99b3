"""The thread by which a daemon reaches its operators, and how it ends."""

import threading
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

import ojobchannels as oc
from ojobchannels.errors import ChannelUnavailable
from ojobchannels.manager import JobManager
from ojobchannels.manager.serving.operator_link import OperatorLink


class Task:
    """A task of a link, which fails with an error, or not."""

    def __init__(self, error: Exception | None) -> None:
        self.called = threading.Event()
        self._error = error

    def __call__(self, _manager: object) -> None:
        self.called.set()
        if self._error is not None:
            raise self._error


@pytest.fixture
def manager() -> Iterator[JobManager]:
    with oc.JobManager() as manager:
        yield manager


def _link(manager: JobManager, task: Task) -> OperatorLink:
    def handle(*_: Any) -> NoReturn:
        raise AssertionError("there are no actions")

    return OperatorLink(lambda: manager, handle, {"work": task})


@pytest.mark.parametrize(
    ("error", "reached"),
    [
        (None, True),
        (ValueError("a fault of the task itself"), True),
        (ChannelUnavailable("jobs", "the server is gone", "start it"), False),
    ],
)
def test_its_end_says_whether_the_store_was_reached(
    manager: JobManager, error: Exception | None, reached: bool
) -> None:
    """A daemon that is stopped then does not wait for a store that is gone."""
    task = Task(error)
    link = _link(manager, task)
    link.start()
    assert task.called.wait(60)
    assert link.close() is reached
