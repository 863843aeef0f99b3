"""Several users of one lock: the hand-over to a blocked waiter, and contention by eight."""

from __future__ import annotations

import itertools
import mmap
import multiprocessing
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from benchmarks.measure import CannotRun, Numbers, Turn, Workspace, percentiles

MEMBERS = 8
_PATIENCE = 60.0
# Forks of a process that has imported the most and done nothing: ready within milliseconds.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["benchmarks.entrants", "pymongo", "redis"])
_numbers = itertools.count(1)


class Locker(Protocol):
    """One lock, as one program uses it."""

    def lock(self) -> object:
        """Acquire the lock, which is free."""

    def wait(self) -> object:
        """Acquire the lock, waiting for it without a timeout."""

    def unlock(self) -> object:
        """Release the lock."""

    def close(self) -> object:
        """Close connections and files."""


OpenLocker = Callable[[Workspace, str], Locker]
"""Opens the lock of a name; picklable, so that it can be passed to processes."""


def fresh_name() -> str:
    """Return a lock name that has not been used before."""
    return f"lock-{next(_numbers)}"


@contextmanager
def hand_over(open_locker: OpenLocker, workspace: Workspace, threads: bool) -> Iterator[Turn]:
    """Measure the time from the call of unlock until a blocked waiter has the lock."""
    name = fresh_name()
    ours, theirs = _PROCESSES.Pipe()
    holder = open_locker(workspace, name)
    worker: Any = threading.Thread if threads else _PROCESSES.Process
    waiter = worker(target=_wait_again_and_again, args=(open_locker, workspace, name, theirs))
    waiter.daemon = True
    waiter.start()

    def reply() -> float:
        if not ours.poll(_PATIENCE):
            raise CannotRun(f"the waiter did not get the lock within {_PATIENCE:g} s")
        received = ours.recv()
        if isinstance(received, str):
            raise CannotRun(received)
        return float(received)

    def once() -> float:
        holder.wait()
        ours.send(True)
        time.sleep(random.uniform(0.005, 0.015))  # noqa: S311  long enough to be blocked
        released = time.monotonic()
        holder.unlock()
        return reply() - released

    def turn(seconds: float) -> Numbers:
        samples = [once(), once()]
        ends = time.monotonic() + 10 * seconds
        while time.monotonic() < ends:
            samples.append(once())
        return percentiles(samples)

    try:
        reply()
        yield turn
    finally:
        ours.send(False)
        waiter.join(5)
        if not threads and waiter.is_alive():
            waiter.kill()
        holder.close()


def _wait_again_and_again(
    open_locker: OpenLocker, workspace: Workspace, name: str, pipe: Connection
) -> None:
    try:
        locker = open_locker(workspace, name)
        pipe.send(0.0)
        while pipe.recv():
            locker.wait()
            granted = time.monotonic()
            locker.unlock()
            pipe.send(granted)
        locker.close()
    except Exception as error:  # noqa: BLE001  sent to the measuring process
        pipe.send(f"{type(error).__name__}: {error}")


class Board:
    """Counters that the members of a contention update in shared memory."""

    def __init__(self, path: Path, seconds: int) -> None:
        self._seconds = seconds
        size = 8 * (1 + MEMBERS * (1 + seconds))
        if not path.exists():
            path.write_bytes(bytes(size))
        self._file = path.open("r+b")
        self._memory = mmap.mmap(self._file.fileno(), size)
        self._cells = memoryview(self._memory).cast("q")

    def note(self, member: int, second: int) -> None:
        """Count a grant; called by the member that holds the lock."""
        cells = self._cells
        if cells[0] != member + 1:
            cells[0] = member + 1
            cells[self._at(member)] += 1
        if second < self._seconds:
            cells[self._at(member) + 1 + second] += 1

    def changes(self) -> int:
        """Return how often the owner changed."""
        return sum(self._cells[self._at(member)] for member in range(MEMBERS))

    def unfairness(self) -> float:
        """Return the most grants of a member divided by the least, in the worst second."""
        worst = 1.0
        for second in range(self._seconds):
            grants = [self._cells[self._at(member) + 1 + second] for member in range(MEMBERS)]
            worst = max(worst, max(grants) / max(min(grants), 0.1))
        return worst

    def close(self) -> None:
        """Close the shared memory."""
        self._cells.release()
        self._memory.close()
        self._file.close()

    def _at(self, member: int) -> int:
        return 1 + member * (1 + self._seconds)


@contextmanager
def contention(open_locker: OpenLocker, workspace: Workspace, threads: bool) -> Iterator[Turn]:
    """Let eight members acquire and release one lock without a pause; count changes of owner.

    The turn measures `change`, the time of a change of owner, and `unfair`, the most grants of a
    member divided by the least, in the worst second.
    """

    def turn(seconds: float) -> Numbers:
        whole = max(round(20 * seconds), 1)
        name = fresh_name()
        path = workspace.folder / f"board-{name}"
        board = Board(path, whole)
        worker: Any = threading.Thread if threads else _PROCESSES.Process
        barrier: Any = threading.Barrier(MEMBERS) if threads else _PROCESSES.Barrier(MEMBERS)
        shared = (open_locker, workspace, name, path, whole)
        members = [
            worker(target=_take_part, args=(*shared, number, barrier), daemon=True)
            for number in range(MEMBERS)
        ]
        for member in members:
            member.start()
        for member in members:
            member.join(whole + _PATIENCE)
        try:
            if not threads:
                _kill_hanging(members)
            changes = board.changes()
            if not changes:
                raise CannotRun("it failed with eight at one lock")
            return {"change": whole / changes, "unfair": board.unfairness()}
        finally:
            board.close()
            path.unlink()

    open_locker(workspace, fresh_name()).close()  # raises at once if it cannot take part
    yield turn


def _take_part(
    open_locker: OpenLocker,
    workspace: Workspace,
    name: str,
    path: Path,
    seconds: int,
    number: int,
    barrier: Any,
) -> None:
    try:
        locker = open_locker(workspace, name)
        board = Board(path, seconds)
        locker.wait()
        locker.unlock()
        barrier.wait(_PATIENCE)
    except Exception:  # noqa: BLE001  the others must not wait for a member that cannot begin
        barrier.abort()
        return
    began = time.monotonic()
    while (elapsed := time.monotonic() - began) < seconds:
        locker.wait()
        board.note(number, int(elapsed))
        locker.unlock()
    board.close()
    locker.close()


def _kill_hanging(members: list[Any]) -> None:
    hung = [member for member in members if member.is_alive()]
    for member in hung:
        member.kill()
        member.join()
    if hung:
        raise CannotRun(f"{len(hung)} of {MEMBERS} processes hung")
