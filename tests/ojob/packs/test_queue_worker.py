"""The worker of a queue in a daemon: outages, malformed entries, jobs that are interrupted."""

from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.channels import opening
from ojobchannels.recipes.queue import Queue

if TYPE_CHECKING:
    from tests.ojob.conftest import Run
    from tests.ojob.schedules import DaemonThread, RunDaemon

pytest_plugins = ["tests.ojob.schedules"]


class Broken:
    """An extension that makes the operations of a queue's channel fail, once `error` is set."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    @oc.hookimpl(wrapper=True)
    def items(self) -> Iterator[None]:
        if self.error is not None:
            raise self.error
        return (yield)

    @oc.hookimpl(wrapper=True)
    def unset(self, key: Any) -> Iterator[None]:
        if self.error is not None and "id" in key.document:
            raise self.error
        return (yield)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Broken:
    """An extension of all channels that are opened in the test."""
    extension = Broken()
    monkeypatch.setattr(opening, "_extensions", [extension])
    monkeypatch.setattr("ojobchannels.manager.serving.outage._PAUSE_MS", (1, 5))
    return extension


@pytest.fixture
def daemon(tmp_path: Path, config: dict[str, Any], run_daemon: "RunDaemon") -> "DaemonThread":
    """A daemon with one worker."""
    path = tmp_path / "f.yaml"
    path.write_text(
        dedent(
            f"""\
            include: [oJobQueue.yaml]
            ojob: {{daemon: true}}
            jobs:
            - {{name: Send, exec: "log('to', args['data'])"}}
            todo:
            - {{name: oJob Queue Manager, args: {{queuePeriod: 5, chQueue: {config}}}}}
            """
        )
    )
    return run_daemon(path, ready="ojob: running until stopped")


@pytest.fixture
def queue(config: dict[str, Any]) -> Iterator[Queue]:
    """The queue of the daemon, seen from outside."""
    with oc.open_channel("oJobQueue", config) as channel:
        yield Queue(channel)


def outage() -> oc.ChannelUnavailable:
    """The error of a server that cannot be reached."""
    return oc.ChannelUnavailable("oJobQueue", "no route", "start it")


def test_a_worker_survives_an_outage(broken: Broken, daemon: "DaemonThread", queue: Queue) -> None:
    """It logs that it pauses, and continues when the store is back."""
    broken.error = outage()
    daemon.wait_for("error: queue paused until the store is reachable")
    broken.error = None
    daemon.wait_for("queue resumed")
    queue.add("Send", "Ada")
    daemon.wait_for("Send: to Ada")
    assert daemon.stop().exit_status == 0


def test_a_daemon_whose_worker_died_says_so_and_ends_with_status_1(
    broken: Broken, daemon: "DaemonThread"
) -> None:
    """So that a supervisor starts it again."""
    broken.error = RuntimeError("an extension went wrong")
    daemon.wait_for("has died, and the daemon ends: RuntimeError: an extension went wrong")
    assert daemon.result().exit_status == 1


def test_a_daemon_that_cannot_open_its_queue_ends_with_status_1(
    tmp_path: Path, run_daemon: "RunDaemon"
) -> None:
    """Without its worker it would do nothing."""
    path = tmp_path / "f.yaml"
    path.write_text(
        "include: [oJobQueue.yaml]\nojob: {daemon: true}\ntodo:\n- name: oJob Queue Manager\n"
        f"  args: {{chQueue: {{type: db, args: {{file: {tmp_path}}}}}}}\n"
    )
    daemon = run_daemon(path, ready="has died, and the daemon ends: ")
    assert daemon.result().exit_status == 1


def test_a_worker_names_malformed_entries_once_and_works_on(
    daemon: "DaemonThread", queue: Queue
) -> None:
    """They stay where they are."""
    queue.channel.set({"id": "odd"}, {"status": "waiting"})
    daemon.wait_for("error: 1 entries of the queue are set aside, since they cannot be read: odd (")
    queue.add("Send", "Ada")
    daemon.wait_for("Send: to Ada")
    assert not any("set aside" in line for line in daemon.output.rest())
    assert queue.malformed() == {"odd": "it has no `id`"}


@pytest.mark.parametrize("error", ["KeyboardInterrupt()", "SystemExit(1)"])
def test_a_message_that_interrupts_its_worker_uses_up_its_attempts(
    run: "Run", config: dict[str, Any], queue: Queue, error: str
) -> None:
    """It is kept as failed at last, and the messages behind it are processed."""
    queue.add("Stop")
    queue.add("Send")
    text = f"""
        jobs:
        - {{name: Stop, exec: "raise {error}"}}
        - {{name: Send, exec: "log('sent')"}}
        todo:
        - name: oJob Queue Manager
          args: {{queueAttempts: 2, queuePause: 0, chQueue: {config}}}
        """
    lines: list[str] = []
    for _ in range(4):
        _, reported = run(text)
        lines += reported
        if not [one for one in queue.messages() if one["status"] == "waiting"]:
            break
    assert "Send: sent" in lines
    assert [(one["job"], one["status"]) for one in queue.messages()] == [("Stop", "failed")]
