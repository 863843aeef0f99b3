"""Jobs of `type: subscribe`: called for what changes in a channel, for as long as a daemon runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ojobchannels as oc

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ojob.conftest import Run
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
    """With channel, operation, key and value among its args; a failed call ends nothing."""
    file = str(tmp_path / "orders.db")
    with oc.open_channel("orders", type="db", file=file) as orders:
        orders.set("before", 0)
        daemon = start_daemon(ORDERS.format(file=file, word="told"))
        daemon.hear("Ready completed")
        orders.set({"id": 7}, "broken")
        daemon.hear("Ship: told orders set {'id': 7} broken")
        daemon.hear("Ship failed (ValueError: a broken order)")
        orders.unset({"id": 7})
        daemon.hear("Ship: told orders unset {'id': 7} None")
        daemon.hear("Ship completed")
    assert daemon.stop().exit_status == 0
    assert not any("before" in line for line in daemon.output.rest())


def test_values_are_no_templates(start_daemon: RunDaemon, tmp_path: Path) -> None:
    """What somebody stores is taken as it is."""
    file = str(tmp_path / "orders.db")
    daemon = start_daemon(ORDERS.format(file=file, word="told"))
    daemon.hear("Ready completed")
    with oc.open_channel("orders", type="db", file=file) as orders:
        orders.set("key", "{{word}}")
    daemon.hear("Ship: told orders set key {{word}}")
    daemon.stop()


def test_the_run_waits_for_the_call_that_is_on(start_daemon: RunDaemon, tmp_path: Path) -> None:
    """The jobs of the end come after it, and no call after them."""
    go_on = tmp_path / "go on"
    daemon = start_daemon(
        f"""\
        jobs:
        - name: Slow
          type: subscribe
          typeArgs: {{chSubscribe: slow}}
          exec: |
            import os, time
            log("begins")
            while not os.path.exists({str(go_on)!r}):
                time.sleep(0.01)
            log("ends")
        - name: Change
          exec: channel("slow").set("key", 1)
        - {{name: Bye, type: shutdown, exec: log("bye")}}
        todo: [Slow, Change, Bye]
        """
    )
    daemon.hear("Slow: begins")
    daemon.control.stop()
    daemon.hear("waiting for 'Slow'")
    go_on.touch()
    assert daemon.result().exit_status == 0
    told = daemon.output.rest()
    assert told.index("Slow: ends") < told.index("Bye: bye")


def test_a_file_that_is_read_again_replaces_the_job(
    start_daemon: RunDaemon, tmp_path: Path
) -> None:
    """The new one is called from then on, and the old one no more."""
    file = str(tmp_path / "orders.db")
    daemon = start_daemon(ORDERS.format(file=file, word="old"))
    daemon.hear("Ready completed")
    daemon.reread(ORDERS.format(file=file, word="new"))
    daemon.hear("reloaded")
    with oc.open_channel("orders", type="db", file=file) as orders:
        orders.set("key", 1)
    daemon.hear("Ship: new orders set key 1")
    daemon.stop()
    assert not any("old" in line for line in daemon.output.rest())


def test_a_call_that_is_on_when_the_file_is_read_again_ends_before_the_next_one(
    start_daemon: RunDaemon, tmp_path: Path
) -> None:
    """Calls are made one after the other all the same; what has ended counts no more."""
    file, go_on = str(tmp_path / "orders.db"), tmp_path / "go on"
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
            while not os.path.exists({str(go_on)!r}):
                time.sleep(0.01)
            log("ends", args["k"])
        todo: [Open, Slow]
        """
    daemon = start_daemon(text)
    daemon.hear("Ready completed")
    with oc.open_channel("orders", type="db", file=file) as orders:
        orders.set("first", 1)
        daemon.hear("Slow: begins first")
        daemon.reread(text)
        daemon.hear("reloaded: 1 subscription")
        orders.set("second", 1)
        assert not daemon.output.hears("Slow: begins second", 0.2)
        go_on.touch()
        daemon.hear("Slow: ends first")
        daemon.hear("Slow: begins second")
        daemon.hear("Slow: ends second")
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
    daemon.hear("Note: work completed")
    daemon.stop()


def test_a_channel_that_cannot_be_watched_fails_the_job(start_daemon: RunDaemon) -> None:
    """It says why; the rest of the todo goes on."""
    daemon = start_daemon(
        """\
        jobs:
        - {name: Note, type: subscribe, typeArgs: {chSubscribe: oJobManager-jobs}}
        todo: [Note]
        """
    )
    said = daemon.hear("Note failed (JobMisuse: ")
    assert "the channel 'oJobManager-jobs' needs the manager" in said
    daemon.hear("Ready completed")
    daemon.stop()


def test_without_daemon_nobody_waits_for_changes(run: Run) -> None:
    """The run ends with its todo, and says what to write."""
    result, told = run(
        """\
        jobs:
        - {name: Note, type: subscribe, typeArgs: {chSubscribe: orders}}
        todo: [Note]
        """
    )
    said = "its changes come after the run has ended; write `daemon: true` under `ojob`"
    assert told == [f"Note: warn: {said}"]
    assert result.exit_status == 0
