"""What `file` and `db` share: locks judged on one host, signs of life, and waiting rooms."""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Concatenate, Final, NamedTuple, ParamSpec, TypeVar, cast

from ojobchannels.backends import lock_record
from ojobchannels.backends.local.file_lock import GateTimeout
from ojobchannels.backends.local.liveness import Liveness
from ojobchannels.backends.local.paths import Place, explain
from ojobchannels.backends.local.waiters import WaitingRoom, number_of
from ojobchannels.backends.lock_record import LockRecord
from ojobchannels.errors import ChannelClosed, ChannelError, ChannelTimeout, NotSupported
from ojobchannels.host.clock import Clock, same_boot
from ojobchannels.host.forks import forget_in_children

LOOK_FOR_CHANGES: Final = 0.05
_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")
_Self = TypeVar("_Self", bound="OneHost")
_LOOKED_AT = 8


class _Branch(NamedTuple):
    """A sign of life of one lease's own, on the lock `name`."""

    name: str
    descriptor: int
    offset: int


class OneHost:
    """Base of a backend whose processes all run on one host."""

    def __init__(self, channel: str, place: Place, clock: Clock, timeout: float) -> None:
        self.channel = channel
        self.place = place
        self.clock = clock
        self.timeout = timeout
        self.liveness = Liveness(place.side / "alive", place.mode)
        self.room = WaitingRoom(channel, place.side / "waiting", place.mode)
        self.closed = False
        self.at_work: set[int] = set()
        self._branches: OrderedDict[str, _Branch] = OrderedDict()
        forget_in_children(self)

    def left(self, record: LockRecord) -> int:
        """Returns the microseconds that a lease has left; none if its holder is dead."""
        left = lock_record.remaining(record, self.clock)
        if not left or record.alive in (lock_record.NOBODY, self.liveness.offset()):
            return left
        if same_boot(record.epoch, self.clock.epoch) and not self.liveness.is_alive(record.alive):
            return 0
        return left

    def holds(self, record: LockRecord, token: str) -> bool:
        """Tells whether the token still holds the lock; of a dead holder's nobody has it."""
        return record.token == token and self.left(record) > 0

    def wait_for(
        self,
        name: str,
        seen_fence: int,
        token: str,
        timeout: int | None,
        read: Callable[[], LockRecord],
    ) -> None:
        """Waits until the lock is free, or was granted anew, or for `timeout` milliseconds."""
        ends = None if timeout is None else self.clock.now() + timeout * 1000
        waiter = number_of(token)

        def patience() -> float:
            if self.closed:
                raise ChannelClosed(self.channel)
            record = read()
            left = 0
            if record.fence == seen_fence:
                left = self.left(record) or lock_record.kept_from(record, waiter)
            if ends is not None:
                left = min(left, ends - self.clock.now())
            return left / 1e6

        self.room.wait(name, token, patience)
        if self.closed:
            raise ChannelClosed(self.channel)

    def branch(self, name: str, token: str, read: Callable[[str], LockRecord]) -> tuple[int, int]:
        """Returns a sign of life of the lease's own, to be given to child processes."""
        branch = self._branches.get(token)
        if branch is None:
            self._end_old_branches(read)
            branch = self._branches[token] = _Branch(name, *self.liveness.branch())
        return branch.descriptor, branch.offset

    def branched(self, token: str) -> int:
        """Where the lease's own sign of life is, or NOBODY."""
        branch = self._branches.get(token)
        return lock_record.NOBODY if branch is None else branch.offset

    def end_branch(self, token: str) -> None:
        """Gives up this process's part in the lease's own sign of life."""
        branch = self._branches.pop(token, None)
        if branch is not None and branch.descriptor >= 0:
            os.close(branch.descriptor)

    def stop_waiting(self, free: Callable[[str, str], bool]) -> None:
        """Marks the handle closed, wakes its waiters and gives up their claims and signs of life.

        Args:
            free: Unlocks, by name and token, or passes on the call that the token got.
        """
        self.closed = True
        with suppress(Exception):  # a claim that stays lapses by itself
            for name, token in self.room.dismiss_own():
                free(name, token)
        self.room.close()
        self._end_branches()
        self.liveness.close()

    def give_back(self) -> None:
        """Gives back what this thread still has in hand of gates, locks and connections."""

    def forget(self) -> None:
        """Closes, in a forked child, the signs of life that are the parent's."""
        self.at_work = set()
        self.room.forget()
        self._end_branches()

    def _end_old_branches(self, read: Callable[[str], LockRecord]) -> None:
        """Ends some of leases that are over: not everybody releases what was lost."""
        for token, branch in list(itertools.islice(self._branches.items(), _LOOKED_AT)):
            if not self.holds(read(branch.name), token):
                self.end_branch(token)
                continue
            with suppress(KeyError):  # another thread may have ended it
                self._branches.move_to_end(token)

    def _end_branches(self) -> None:
        for token in list(self._branches):
            self.end_branch(token)

    def translate(self, error: Exception) -> ChannelError | None:
        """Returns the error of ours for one of the system's, or None for any other."""
        if isinstance(error, ChannelError):
            return None
        if self.closed and isinstance(error, OSError):
            return ChannelClosed(self.channel)
        if isinstance(error, GateTimeout):
            return ChannelTimeout(self.channel, f"access {self.place.path}", self.timeout)
        if isinstance(error, OSError):
            return explain(self.channel, self.place.path, error)
        return None


def translated(
    method: Callable[Concatenate[_Self, _Arguments], _Answer],
) -> Callable[Concatenate[_Self, _Arguments], _Answer]:
    """Has a method raise errors of ours in the place of the system's and the driver's."""

    @functools.wraps(method)
    def wrapped(self: _Self, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            ours = self.translate(error)
            if ours is None:
                raise
            raise ours from error

    return cast("Callable[Concatenate[_Self, _Arguments], _Answer]", wrapped)


def operation(
    method: Callable[Concatenate[_Self, _Arguments], _Answer],
) -> Callable[Concatenate[_Self, _Arguments], _Answer]:
    """Has a method leave nothing behind in this thread's hands, however it ends, and `translated`.

    An exception that a signal handler raises can come between any two steps, also between the last
    of a ``with`` and its end; here everything is given back once more. For the same reason the
    handler itself cannot begin another operation on a handle whose work it interrupted.
    """

    @functools.wraps(method)
    def wrapped(self: _Self, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
        thread = threading.get_ident()
        if thread in self.at_work:
            raise NotSupported(
                self.channel,
                "a call by a signal handler in the middle of another call",
                "have the handler raise an exception or set a flag, and make the call where that "
                "is noticed",
            )
        if self.closed:
            raise ChannelClosed(self.channel)
        try:
            try:
                self.at_work.add(thread)
                return method(self, *args, **kwargs)
            except BaseException:
                self.give_back()
                raise
        except BaseException as error:
            self.give_back()  # begun anew: a second signal may have cut it off
            ours = self.translate(error) if isinstance(error, Exception) else None
            if ours is None:
                raise
            raise ours from error
        finally:
            self.at_work.discard(thread)

    return cast("Callable[Concatenate[_Self, _Arguments], _Answer]", wrapped)
