"""Starts a server that does not outlive the process that started it.

Run as ``python -IS launcher.py PID FOLDER UID,GID PROGRAM ARGUMENT…`` by the process PID; without a
user the third argument is empty. Before executing the program it forks a watcher, which waits for
the end of either process. If PID ends first, for whatever reason, the watcher kills the server and
removes the folder. A parent-death signal would be simpler, but Linux sends it when the *thread*
that started the child ends.
"""

from __future__ import annotations

import os
import select
import signal
import sys


def main() -> None:
    """Fork the watcher (on Linux) and execute the program."""
    parent, folder, user, *command = sys.argv[1:]
    if sys.platform == "linux":
        starter = os.pidfd_open(int(parent))
        if os.getppid() != int(parent):
            sys.exit("the process that started the launcher has ended")
        server = os.pidfd_open(os.getpid())
        if os.fork() == 0:
            _watch(starter, server, folder)
            os._exit(0)
    if user:
        uid, gid = map(int, user.split(","))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.execv(command[0], command)  # noqa: S606  the purpose of this program


def _watch(starter: int, server: int, folder: str) -> None:
    os.closerange(0, 3)
    ended = _wait_for_any(starter, server)
    if starter in ended:
        if server not in ended:
            signal.pidfd_send_signal(server, signal.SIGKILL)
            _wait_for_any(server)
        import shutil  # slow to import, and rarely needed

        shutil.rmtree(folder, ignore_errors=True)


def _wait_for_any(*processes: int) -> list[int]:
    poll = select.poll()
    for process in processes:
        poll.register(process, select.POLLIN)
    return [descriptor for descriptor, _ in poll.poll()]


if __name__ == "__main__":
    main()
