"""The part that `file` and `db` share: locks of one host, liveness of holders, and waiting."""

import functools
import itertools
import os
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Concatenate, Final, NamedTuple, ParamSpec, TypeVar, cast
from weakref import WeakSet

from ojobchannels.backends import lock_record
from ojobchannels.backends.local.file_lock import FileLockTimeout
from ojobchannels.backends.local.liveness import Liveness
from ojobchannels.backends.local.paths import OUT_OF_DESCRIPTORS, StoragePath, explain
from ojobchannels.backends.local.waiters import LocalWatch, Waiters, number_of
from ojobchannels.backends.lock_record import LockRecord
from ojobchannels.changes import Versions
from ojobchannels.documents import Document
from ojobchannels.errors import ChannelClosed, ChannelError, ChannelTimeout, NotSupported
from ojobchannels.hookspecs import Adopted, LockInfo, hookimpl
from ojobchannels.host.clock import Clock, boot_of
from ojobchannels.host.forks import forget_in_children, notice_hidden_fork

_CHANGE_CHECK_SECONDS: Final = 0.05
_ENDED_PER_SHARE: Final = 8
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_Self = TypeVar("_Self", bound="LocalBackend")


def translated(
    method: Callable[Concatenate[_Self, _Arguments], _Result],
) -> Callable[Concatenate[_Self, _Arguments], _Result]:
    """Make a method raise our errors in place of those of the system and the driver."""

    @functools.wraps(method)
    def wrapped(self: _Self, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            ours = self.translate(error)
            if ours is None:
                raise
            raise ours from error

    return cast("Callable[Concatenate[_Self, _Arguments], _Result]", wrapped)


def operation(
    method: Callable[Concatenate[_Self, _Arguments], _Result],
) -> Callable[Concatenate[_Self, _Arguments], _Result]:
    """Make a method release everything that its thread holds, however it ends, and `translated`.

    A signal handler can raise between any two steps, also between the last step of a ``with`` block
    and its `__exit__`. So the cleanup of the block alone is not enough: it is repeated here, twice,
    because a second signal may cut the first repetition short. For the same reason a handler must
    not start another operation on the handle that it interrupted: both would share one state.
    """

    @functools.wraps(method)
    def wrapped(self: _Self, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        notice_hidden_fork()
        thread = threading.get_ident()
        if thread in self.at_work:
            raise NotSupported(
                self.channel,
                "a call from a signal handler that interrupted another call on the same channel",
                "let the handler raise an exception or set a flag, and make the call where that is "
                "noticed",
            )
        if self.closed:
            raise ChannelClosed(self.channel)
        try:
            self.at_work.add(thread)
            try:
                return method(self, *args, **kwargs)
            except BaseException as error:
                self.clean_up()
                if not (isinstance(error, Exception) and self.lacks_descriptors(error)):
                    raise
            give_back_descriptors()
            try:
                return method(self, *args, **kwargs)
            except BaseException:
                self.clean_up()
                raise
        except BaseException as error:
            self.clean_up()
            ours = self.translate(error) if isinstance(error, Exception) else None
            if ours is None:
                raise
            raise ours from error
        finally:
            self.at_work.discard(thread)

    return cast("Callable[Concatenate[_Self, _Arguments], _Result]", wrapped)


def give_back_descriptors() -> None:
    """Close the descriptors that this process keeps open only for speed, on all handles."""
    for backend in list(_opened):
        backend.give_back()


def hook_operation(
    method: Callable[Concatenate[_Self, _Arguments], _Result],
) -> Callable[Concatenate[_Self, _Arguments], _Result]:
    """Make a method an `operation` that implements the hook of its name."""
    return hookimpl(operation(method))


_opened: "WeakSet[LocalBackend]" = WeakSet()


class _SharedByte(NamedTuple):
    """The liveness byte of one lease, shared with child processes, and its lock's name."""

    name: str
    descriptor: int
    offset: int


class LocalBackend(ABC):
    """Base of a backend whose processes all run on one host."""

    def __init__(self, channel: str, storage: StoragePath, clock: Clock, timeout: float) -> None:
        self.channel = channel
        self.storage = storage
        self.clock = clock
        self.timeout = timeout
        self.liveness = Liveness(storage.side)
        self.waiters = Waiters(channel, storage.side.folder("waiting"))
        self.closed = False
        self.at_work: set[int] = set()
        self._boots_here: set[str] = set()  # other boot ids that were seen on this kernel
        self._shared: OrderedDict[str, _SharedByte] = OrderedDict()
        _opened.add(self)
        forget_in_children(self)

    @hook_operation
    def pop(self) -> Document:
        return self._take(newest_first=True)

    @hook_operation
    def shift(self) -> Document:
        return self._take(newest_first=False)

    @hook_operation
    def unlock(self, name: str, token: str) -> bool:
        try:
            return self._free(name, token)
        finally:
            self.waiters.withdraw(token)
            self._end_sharing(token)

    @hook_operation
    def adopt(self, name: str, token: str, holder: dict[str, Any] | None) -> Adopted | bool:
        alive = lock_record.NO_PROCESS if holder is None else self.liveness.offset()
        record = self._adopt(name, token, alive, holder)
        if record is None:
            return False
        self._end_sharing(token)
        return lock_record.adopted(record, self.clock)

    @hook_operation
    def share(self, name: str, token: str) -> list[int] | bool:
        shared = self._shared.get(token)
        if shared is None:
            self._end_old_sharing()
            shared = self._shared[token] = _SharedByte(name, *self.liveness.lock_shared_byte())
        if self._adopt(name, token, shared.offset, None) is None:
            self._end_sharing(token)
            return False
        return [shared.descriptor] if shared.offset else []

    @hook_operation
    def lock_info(self, name: str) -> LockInfo | None:
        return self._info(name)

    @hook_operation
    def locks(self) -> list[LockInfo]:
        infos = (self._info(name) for name in self._lock_names())
        return [info for info in infos if info]

    @hook_operation
    def force_unlock(self, name: str) -> LockInfo | None:
        record, left = self._force_free(name)
        if not left:
            return None
        self.waiters.remove(name, self.waiters.wake_next(name))
        return lock_record.info(name, record, left, self.clock)

    @hookimpl
    @translated
    def wait(self, name: str, seen_fence: int, token: str, timeout: int | None) -> bool:
        ends = None if timeout is None else self.clock.now() + timeout * 1000

        def pause() -> float:
            left = self.pause_of_waiter(name, seen_fence, token)
            return left if ends is None else min(left, (ends - self.clock.now()) / 1e6)

        self.waiters.wait(name, token, pause)
        if self.closed:
            raise ChannelClosed(self.channel)
        return True

    @hookimpl
    def watch(
        self,
        name: str,
        seen_fence: int,
        token: str,
        notify: Callable[[], None],
    ) -> LocalWatch:
        return LocalWatch(
            self.waiters, name, token, lambda: self.pause_of_waiter(name, seen_fence, token)
        )

    @translated
    def pause_of_waiter(self, name: str, seen_fence: int, token: str) -> float:
        """Return for how many seconds a waiter need not look at a lock; 0 if it may be granted."""
        if self.closed:
            raise ChannelClosed(self.channel)
        record = self._read_for_waiter(name)
        if record.fence != seen_fence:
            return 0
        left = self.left(record) or lock_record.reserved_for_other(record, number_of(token))
        return left / 1e6

    @hookimpl
    def subscribe(self, notify: Callable[[], None]) -> Versions:
        return Versions(self._version, _CHANGE_CHECK_SECONDS)

    @hookimpl
    def close(self) -> bool:
        self.closed = True
        with suppress(Exception):  # a reservation that stays expires by itself
            for name, token in self.waiters.wake_own():
                self._free(name, token)
        self.waiters.close()
        self._end_all_sharing()
        self.liveness.close()
        self._close_storage()
        return True

    def left(self, record: LockRecord) -> int:
        """Return the microseconds until a lease expires; 0 if its holder is dead.

        A record of another epoch counts until its deadline on the wall clock, which may be set. But
        a holder that is seen alive runs on this kernel, in a container with a boot id of its own
        perhaps, and then most likely reads the same clock. So its lease lasts as long as any of the
        two clocks says; a wrong clock cannot make it longer than its ttl.
        """
        left = lock_record.remaining(record, self.clock)
        is_known = record.epoch == self.clock.epoch
        if not record.token or (is_known and not left):
            return 0
        is_alive = self.liveness.is_alive(record.alive)
        boot = boot_of(record.epoch)
        if is_alive is False and boot in {boot_of(self.clock.epoch), *self._boots_here}:
            return 0
        if is_alive and not is_known:
            self._boots_here.add(boot)
            here = record.until - self.clock.now()
            return max(min(left, record.ttl), here if here <= record.ttl else 0)
        return left

    def holds(self, record: LockRecord, token: str) -> bool:
        """Return whether the token holds the lock; the token of a dead holder does not."""
        return record.token == token and self.left(record) > 0

    def shared_offset(self, token: str) -> int:
        """Return the offset of the lease's shared liveness byte, or NO_PROCESS."""
        shared = self._shared.get(token)
        return lock_record.NO_PROCESS if shared is None else shared.offset

    def forget(self) -> None:
        """Close, in a forked child, the shared liveness bytes and waiters of the parent."""
        self.at_work = set()
        self.waiters.forget()
        self._end_all_sharing()

    def translate(self, error: Exception) -> ChannelError | None:
        """Return our error for an error of the system, or None for any other error."""
        if isinstance(error, ChannelError):
            return None
        if self.closed and isinstance(error, OSError):
            return ChannelClosed(self.channel)
        if isinstance(error, FileLockTimeout):
            return ChannelTimeout(self.channel, f"access {self.storage.path}", self.timeout)
        if isinstance(error, OSError):
            return explain(self.channel, self.storage.path, error)
        return None

    def lacks_descriptors(self, error: Exception) -> bool:
        """Return whether an operation failed because no file can be opened any more."""
        return isinstance(error, OSError) and error.errno in OUT_OF_DESCRIPTORS

    @abstractmethod
    def give_back(self) -> None:
        """Close the descriptors that are open only for speed."""

    @abstractmethod
    def clean_up(self) -> None:
        """Release the file locks and connections that this thread still holds."""

    @abstractmethod
    def _take(self, newest_first: bool) -> Document:
        """Remove the newest or oldest entry and return its value, or MISSING."""

    @abstractmethod
    def _read_lock(self, name: str) -> LockRecord:
        """Return the record of a lock."""

    @abstractmethod
    def _lock_names(self) -> Iterable[str]:
        """Return the names of all locks that may be held."""

    @abstractmethod
    def _free(self, name: str, token: str) -> bool:
        """Unlock, or pass a reservation on; return whether the token held the lock."""

    @abstractmethod
    def _force_free(self, name: str) -> tuple[LockRecord, int]:
        """Free a lock; return its record until then, and the microseconds it had left."""

    @abstractmethod
    def _adopt(
        self, name: str, token: str, alive: int, holder: dict[str, Any] | None
    ) -> LockRecord | None:
        """Store another liveness byte, and holder info unless None; return the new record."""

    @abstractmethod
    def _version(self) -> object:
        """Return a value that differs after any change of the channel's documents."""

    @abstractmethod
    def _close_storage(self) -> None:
        """Close the files and connections."""

    @operation
    def _read_for_waiter(self, name: str) -> LockRecord:
        return self._read_lock(name)

    def _info(self, name: str) -> LockInfo | None:
        record = self._read_lock(name)
        left = self.left(record)
        return lock_record.info(name, record, left, self.clock) if left else None

    def _end_sharing(self, token: str) -> None:
        shared = self._shared.pop(token, None)
        if shared is not None and shared.descriptor >= 0:
            os.close(shared.descriptor)

    def _end_old_sharing(self) -> None:
        """Close a few bytes of leases that have ended: lost leases are not always released."""
        for token, shared in list(itertools.islice(self._shared.items(), _ENDED_PER_SHARE)):
            if not self.holds(self._read_lock(shared.name), token):
                self._end_sharing(token)
                continue
            with suppress(KeyError):  # another thread may have ended it
                self._shared.move_to_end(token)

    def _end_all_sharing(self) -> None:
        for token in list(self._shared):
            self._end_sharing(token)
