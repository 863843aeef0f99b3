"""Becomes a server that does not outlive the process that started it.

Run as ``python -IS launcher.py PID FOLDER PROGRAM ARGUMENT…`` by the process PID. Before it turns
into the program it leaves a watcher, a process that waits for the end of either: if PID ends first,
however that happens, the watcher kills the server and removes the folder. A parent-death signal
would be simpler, but Linux sends it when the *thread* ends that started the child.
"""

from __future__ import annotations

import os
import select
import signal
import sys


def main() -> None:
    """Leaves the watcher (on Linux) and becomes the program."""
    parent, folder, *command = sys.argv[1:]
    if sys.platform == "linux":
        starter = os.pidfd_open(int(parent))
        if os.getppid() != int(parent):
            sys.exit("the process that started this one is gone")
        server = os.pidfd_open(os.getpid())
        if os.fork() == 0:
            _watch(starter, server, folder)
            os._exit(0)
    os.execv(command[0], command)  # noqa: S606  that is what this program is for


def _watch(starter: int, server: int, folder: str) -> None:
    os.closerange(0, 3)
    ended = _wait_for_any(starter, server)
    if starter in ended:
        if server not in ended:
            signal.pidfd_send_signal(server, signal.SIGKILL)
            _wait_for_any(server)
        import shutil  # slow to import, and hardly ever needed

        shutil.rmtree(folder, ignore_errors=True)


def _wait_for_any(*processes: int) -> list[int]:
    poll = select.poll()
    for each in processes:
        poll.register(each, select.POLLIN)
    return [descriptor for descriptor, _ in poll.poll()]


if __name__ == "__main__":
    main()
