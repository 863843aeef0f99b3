"""Several at one lock: the hand-over to a blocked waiter, and eight who want it all the time."""

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

from benchmarks.measure import CannotRun, Numbers, Place, Turn, percentiles

MEMBERS = 8
_PATIENCE = 60.0
# Forks of a process that has imported the most and done nothing: ready within milliseconds.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["benchmarks.entrants", "pymongo", "redis"])
_numbers = itertools.count(1)


class Locker(Protocol):
    """One program's way to one lock."""

    def lock(self) -> object:
        """Takes the lock, which is free."""

    def wait(self) -> object:
        """Takes the lock, waiting for it as long as it takes."""

    def unlock(self) -> object:
        """Gives it back."""

    def close(self) -> object:
        """Gives back connections and files."""


OpenLocker = Callable[[Place, str], Locker]
"""How a program opens its way to the lock of that name; a class, so that processes can share it."""


def fresh_name() -> str:
    """Returns the name of a lock that nobody has used."""
    return f"lock-{next(_numbers)}"


@contextmanager
def hand_over(open_locker: OpenLocker, place: Place, threads: bool) -> Iterator[Turn]:
    """Times from the call of unlock to when the other one, who was blocked, has the lock."""
    name = fresh_name()
    ours, theirs = _PROCESSES.Pipe()
    holder = open_locker(place, name)
    worker: Any = threading.Thread if threads else _PROCESSES.Process
    waiter = worker(target=_wait_again_and_again, args=(open_locker, place, name, theirs))
    waiter.daemon = True
    waiter.start()

    def answer() -> float:
        if not ours.poll(_PATIENCE):
            raise CannotRun(f"the waiter did not get the lock within {_PATIENCE:g} s")
        told = ours.recv()
        if isinstance(told, str):
            raise CannotRun(told)
        return float(told)

    def once() -> float:
        holder.wait()
        ours.send(True)
        time.sleep(random.uniform(0.005, 0.015))  # noqa: S311  long enough to be blocked
        released = time.monotonic()
        holder.unlock()
        return answer() - released

    def turn(seconds: float) -> Numbers:
        samples = [once(), once()]
        ends = time.monotonic() + 10 * seconds
        while time.monotonic() < ends:
            samples.append(once())
        return percentiles(samples)

    try:
        answer()
        yield turn
    finally:
        ours.send(False)
        waiter.join(5)
        if not threads and waiter.is_alive():
            waiter.kill()
        holder.close()


def _wait_again_and_again(
    open_locker: OpenLocker, place: Place, name: str, pipe: Connection
) -> None:
    try:
        locker = open_locker(place, name)
        pipe.send(0.0)
        while pipe.recv():
            locker.wait()
            granted = time.monotonic()
            locker.unlock()
            pipe.send(granted)
        locker.close()
    except Exception as error:  # noqa: BLE001  told to the one who measures
        pipe.send(f"{type(error).__name__}: {error}")


class Board:
    """What members of a contention write down, in memory that they share."""

    def __init__(self, path: Path, seconds: int) -> None:
        self._seconds = seconds
        size = 8 * (1 + MEMBERS * (1 + seconds))
        if not path.exists():
            path.write_bytes(bytes(size))
        self._file = path.open("r+b")
        self._memory = mmap.mmap(self._file.fileno(), size)
        self._cells = memoryview(self._memory).cast("q")

    def note(self, member: int, second: int) -> None:
        """Writes down a grant, by the one who holds the lock."""
        cells = self._cells
        if cells[0] != member + 1:
            cells[0] = member + 1
            cells[self._at(member)] += 1
        if second < self._seconds:
            cells[self._at(member) + 1 + second] += 1

    def changes(self) -> int:
        """Returns how often the owner changed."""
        return sum(self._cells[self._at(member)] for member in range(MEMBERS))

    def unfairness(self) -> float:
        """Returns the most that one got over the least, in the worst second."""
        worst = 1.0
        for second in range(self._seconds):
            grants = [self._cells[self._at(one) + 1 + second] for one in range(MEMBERS)]
            worst = max(worst, max(grants) / max(min(grants), 0.1))
        return worst

    def close(self) -> None:
        """Gives back the memory."""
        self._cells.release()
        self._memory.close()
        self._file.close()

    def _at(self, member: int) -> int:
        return 1 + member * (1 + self._seconds)


@contextmanager
def contention(open_locker: OpenLocker, place: Place, threads: bool) -> Iterator[Turn]:
    """Has eight take and release one lock without a pause; counts changes of owner.

    It finds `change`, the time of a change of owner, and `unfair`, the grants of the luckiest over
    those of the unluckiest in the worst second.
    """

    def turn(seconds: float) -> Numbers:
        whole = max(round(20 * seconds), 1)
        name = fresh_name()
        path = place.folder / f"board-{name}"
        board = Board(path, whole)
        worker: Any = threading.Thread if threads else _PROCESSES.Process
        barrier: Any = threading.Barrier(MEMBERS) if threads else _PROCESSES.Barrier(MEMBERS)
        told = (open_locker, place, name, path, whole)
        members = [
            worker(target=_take_part, args=(*told, number, barrier), daemon=True)
            for number in range(MEMBERS)
        ]
        for member in members:
            member.start()
        for member in members:
            member.join(whole + _PATIENCE)
        try:
            if not threads:
                _end_those_that_hang(members)
            changes = board.changes()
            if not changes:
                raise CannotRun("it failed with eight at one lock")
            return {"change": whole / changes, "unfair": board.unfairness()}
        finally:
            board.close()
            path.unlink()

    open_locker(place, fresh_name()).close()  # tells at once if it cannot take part
    yield turn


def _take_part(
    open_locker: OpenLocker,
    place: Place,
    name: str,
    path: Path,
    seconds: int,
    number: int,
    barrier: Any,
) -> None:
    try:
        locker = open_locker(place, name)
        board = Board(path, seconds)
        locker.wait()
        locker.unlock()
        barrier.wait(_PATIENCE)
    except Exception:  # noqa: BLE001  nobody waits for one who cannot begin
        barrier.abort()
        return
    began = time.monotonic()
    while (elapsed := time.monotonic() - began) < seconds:
        locker.wait()
        board.note(number, int(elapsed))
        locker.unlock()
    board.close()
    locker.close()


def _end_those_that_hang(members: list[Any]) -> None:
    hung = [member for member in members if member.is_alive()]
    for member in hung:
        member.kill()
        member.join()
    if hung:
        raise CannotRun(f"{len(hung)} of {MEMBERS} processes hung")
