"""Jobs of `type: subscribe`: called for changes of a channel while a daemon runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ojobchannels as oc

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ojob.schedules import RunDaemon

pytest_plugins = ["tests.ojob.schedules"]

ORDERS = """\
jobs:
- name: Open
  exec: |
    channel("orders", {{"type": "db", "args": {{"file": {file!r}}}}})
- name: Ship
  type: subscribe
  typeArgs: {{chSubscribe: orders}}
  args: {{word: {word}, k: its own}}
  exec: |
    log(args["word"], args["ch"], args["op"], args["k"], args["v"])
    if args["v"] == "broken":
        raise ValueError("a broken order")
todo: [Open, Ship]
"""


def test_a_job_is_called_for_each_change(start_daemon: RunDaemon, tmp_path: Path) -> None:
    """Its args have the channel, operation, key and value; a failed call does not end the watch."""
    file = str(tmp_path / "orders.db")
    with oc.open_channel("orders", type="db", file=file) as orders:
        orders.set("before", 0)
        daemon = start_daemon(ORDERS.format(file=file, word="reported"))
        daemon.wait_for("Ready completed")
        orders.set({"id": 7}, "broken")
        daemon.wait_for("Ship: reported orders set {'id': 7} broken")
        daemon.wait_for("Ship failed (ValueError: a broken order)")
        orders.unset({"id": 7})
        daemon.wait_for("Ship: reported orders unset {'id': 7} None")
        daemon.wait_for("Ship completed")
    assert daemon.stop().exit_status == 0
    assert not any("before" in line for line in daemon.output.rest())


def test_values_are_not_templates(start_daemon: RunDaemon, tmp_path: Path) -> None:
    """Stored text is passed as it is."""
    file = str(tmp_path / "orders.db")
    daemon = start_daemon(ORDERS.format(file=file, word="reported"))
    daemon.wait_for("Ready completed")
    with oc.open_channel("orders", type="db", file=file) as orders:
        orders.set("key", "{{word}}")
    daemon.wait_for("Ship: reported orders set key {{word}}")
    daemon.stop()


def test_the_run_waits_for_the_active_call(start_daemon: RunDaemon, tmp_path: Path) -> None:
    """Shutdown jobs run after it, and no call follows them."""
    may_continue = tmp_path / "continue"
    daemon = start_daemon(
        f"""\
        jobs:
        - name: Slow
          type: subscribe
          typeArgs: {{chSubscribe: slow}}
          exec: |
            import os, time
            log("begins")
            while not os.path.exists({str(may_continue)!r}):
                time.sleep(0.01)
            log("ends")
        - name: Change
          exec: channel("slow").set("key", 1)
        - {{name: Bye, type: shutdown, exec: log("bye")}}
        todo: [Slow, Change, Bye]
        """
    )
    daemon.wait_for("Slow: begins")
    daemon.control.stop()
    daemon.wait_for("waiting for 'Slow'")
    may_continue.touch()
    assert daemon.result().exit_status == 0
    reported = daemon.output.rest()
    assert reported.index("Slow: ends") < reported.index("Bye: bye")


def test_a_reloaded_file_replaces_the_job(start_daemon: RunDaemon, tmp_path: Path) -> None:
    """From then on only the new one is called."""
    file = str(tmp_path / "orders.db")
    daemon = start_daemon(ORDERS.format(file=file, word="old"))
    daemon.wait_for("Ready completed")
    daemon.reload(ORDERS.format(file=file, word="new"))
    daemon.wait_for("reloaded")
    with oc.open_channel("orders", type="db", file=file) as orders:
        orders.set("key", 1)
    daemon.wait_for("Ship: new orders set key 1")
    daemon.stop()
    assert not any("old" in line for line in daemon.output.rest())


def test_a_call_that_is_active_at_a_reload_ends_before_the_next_one(
    start_daemon: RunDaemon, tmp_path: Path
) -> None:
    """Calls still run one after another, and ended watches are no longer counted."""
    file, may_continue = str(tmp_path / "orders.db"), tmp_path / "continue"
    text = f"""\
        jobs:
        - name: Open
          exec: |
            channel("orders", {{"type": "db", "args": {{"file": {file!r}}}}})
        - name: Slow
          type: subscribe
          typeArgs: {{chSubscribe: orders}}
          exec: |
            import os, time
            log("begins", args["k"])
            while not os.path.exists({str(may_continue)!r}):
                time.sleep(0.01)
            log("ends", args["k"])
        todo: [Open, Slow]
        """
    daemon = start_daemon(text)
    daemon.wait_for("Ready completed")
    with oc.open_channel("orders", type="db", file=file) as orders:
        orders.set("first", 1)
        daemon.wait_for("Slow: begins first")
        daemon.reload(text)
        daemon.wait_for("reloaded: 1 subscription")
        orders.set("second", 1)
        assert not daemon.output.reports("Slow: begins second", 0.2)
        may_continue.touch()
        daemon.wait_for("Slow: ends first")
        daemon.wait_for("Slow: begins second")
        daemon.wait_for("Slow: ends second")
    assert daemon.stop().exit_status == 0


def test_run_records_can_be_watched(start_daemon: RunDaemon) -> None:
    """The channels of the manager are channels too."""
    daemon = start_daemon(
        """\
        jobs:
        - name: Note
          type: subscribe
          typeArgs: {chSubscribe: oJobManager-jobs}
          exec: log(args["k"]["name"], args["v"]["status"])
        - {name: Work, from: oJobManager Job Start, to: oJobManager Job End, args: {name: work}}
        todo: [oJobManager Init, Note, Work]
        """
    )
    daemon.wait_for("Note: work completed")
    daemon.stop()


def test_a_channel_that_cannot_be_watched_fails_the_job(start_daemon: RunDaemon) -> None:
    """The error says why, and the rest of the todo runs."""
    daemon = start_daemon(
        """\
        jobs:
        - {name: Note, type: subscribe, typeArgs: {chSubscribe: oJobManager-jobs}}
        todo: [Note]
        """
    )
    message = daemon.wait_for("Note failed (JobMisuse: ")
    assert "the channel 'oJobManager-jobs' needs the manager" in message
    daemon.wait_for("Ready completed")
    daemon.stop()
