"""Jobs where the system refuses threads: refused ones do not run, and nothing waits for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ojobchannels import NoThread
from ojobchannels.manager.local_launches.launcher import Launch, Launcher
from ojobchannels.ojob import run_file
from tests.ojob.conftest import RecordingOutput


@contextmanager
def no_threads() -> Iterator[None]:
    """Let the system refuse every new thread, as there is no memory for so large a stack."""
    before = threading.stack_size(1 << 46)
    try:
        yield
    finally:
        threading.stack_size(before)


def test_a_refused_launch_does_not_run_later() -> None:
    """The caller gets the error, and the launcher waits for nothing."""
    ran: list[str] = []
    launcher = Launcher(4)
    with no_threads(), pytest.raises(NoThread, match="no thread can be started for a job"):
        launcher.submit("refused", lambda _: ran.append("refused"))
    assert launcher.wait(0)
    launcher.submit("next", lambda _: ran.append("next")).wait()
    launcher.close()
    assert ran == ["next"]


def test_a_launch_waits_for_a_thread_that_will_be_free() -> None:
    """While a thread of the pool is at work, another launch is not refused."""
    launcher, go = Launcher(4), threading.Event()
    first = launcher.submit("first", lambda _: go.wait())
    with no_threads():
        second = launcher.submit("second", lambda _: "done")
    go.set()
    assert second.result() == "done"
    assert first.done()
    launcher.close()


def test_a_wait_for_a_launch_without_a_thread_is_refused() -> None:
    """The only thread would wait forever for a launch that needs this very thread."""

    def work(_: Launch) -> str:
        with no_threads():
            part = launcher.submit("part", lambda _: "done")
            with pytest.raises(NoThread):
                part.result()
        return "refused"

    launcher = Launcher(4)
    assert launcher.submit("whole", work).result() == "refused"
    launcher.close()


def test_a_dependent_launch_that_is_refused_ends_as_failed() -> None:
    """It is reported, as its caller cannot get the error any more."""
    launcher, refused = Launcher(1), list[NoThread]()
    first = Launch("first")
    second = launcher.submit("second", lambda _: None, [first], refused=refused.append)
    with no_threads():
        first._finish("completed")
    assert second.state == "failed"
    assert [error.purpose for error in refused] == ["a job"]
    launcher.close()


def test_jobs_without_a_thread_fail_and_the_run_ends(tmp_path: Path) -> None:
    """In a todo that runs in parallel, and where code launches jobs."""
    path, output = tmp_path / "f.yaml", RecordingOutput()
    path.write_text(
        "ojob: {async: true}\njobs:\n- {name: A, exec: log('ran')}\n"
        "- {name: B, deps: A, exec: log('ran')}\ntodo: [A, B]\n"
    )
    with no_threads():
        assert run_file(path, output=output).exit_status == 1
    assert [line.partition(":")[0] for line in output.lines] == [
        "A failed (NoThread",
        "B failed (NoThread",
    ]
