"""Has a call of a job wait for what it must have to itself, and hold that while it works."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.lease import Lease
from ojobchannels.errors import InvalidJobArgs, JobMisuse, LockBusy, describe_holder
from ojobchannels.manager.pool import release_slot
from ojobchannels.ojob.args.templates import render
from ojobchannels.ojob.load.lock_spec import TURNS
from ojobchannels.ojob.process.interrupts import SkipJob

if TYPE_CHECKING:
    from ojobchannels.ojob.run.job_call import Flow

INTERRUPTED: Final = "the run was interrupted before it began"
_TTL: Final = 60.0
_PATIENCE: Final = 1.0


class _Lock(NamedTuple):
    """A lock, and how to tell of it."""

    channel: str
    name: str
    told: str


_mine: ContextVar[frozenset[_Lock]] = ContextVar("locks of the calls around this one")


class Alone(AbstractContextManager[None]):
    """Surrounds the work of a call, which gets first what its job must have to itself.

    No generator: it would leave frames of `contextlib` in the tracebacks of what it raises.

    Raises:
        SkipJob: It is due at a time, and others have that; or the run is to end.
        LockLost: It lost its lock while it worked.
        ChannelError: There is no such lock to be had.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._held = ExitStack()
        self._around = _mine.get(frozenset())

    def __enter__(self) -> None:
        try:
            for lock in _locks(self._flow):
                self._take(lock)
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def _take(self, lock: _Lock) -> None:
        if lock in self._around:
            reason = f"it would wait for ever for {lock.told}, which the job that calls it holds"
            raise JobMisuse(self._flow.job.name, reason, "launch it, or take the lock from one")
        lease = _lease(self._flow, lock)
        self._held.push(lease)
        self._flow.leases.append(lease)
        _mine.set(_mine.get(frozenset()) | {lock})

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        _mine.set(self._around)
        self._flow.leases.clear()
        self._held.__exit__(kind, error, at)


def _locks(flow: Flow) -> Iterator[_Lock]:
    locks, job = flow.job.locks, flow.job.name
    if locks is None:
        return
    if locks.single:
        yield _Lock(TURNS, f"{flow.session.file.name}: {job}", "its turn")
    if locks.lock is not None:
        flow.render_args()
        key = "typeArgs.lock"
        name = render({key: locks.lock}, flow.args.values, flow.job.where)[key]
        if not isinstance(name, str) or not name:
            reason = f"the name of its lock, {locks.lock!r}, becomes {name!r}"
            raise InvalidJobArgs(f"job {job!r}", reason, "name it by a text")
        yield _Lock(locks.channel, name, f"the lock {name!r}")


def _lease(flow: Flow, lock: _Lock) -> Lease:
    """Takes a lock, as soon as it is free; for a call that is due at a time, only at once."""
    channel = flow.session.opened(flow.job.name, lock.channel)
    try:
        return _taken(flow, lock, channel, wait=0)
    except LockBusy as busy:
        held = f"{describe_holder(busy.holder)} has it"
        if flow.fire_time is not None and not flow.patient:
            raise SkipJob(f"it did not get {lock.told}: {held}") from busy
        flow.log("info", f"waits for {lock.told}: {held}")
    while True:
        try:
            with release_slot():
                return _taken(flow, lock, channel, wait=_PATIENCE)
        except LockBusy as busy:
            if flow.session.stopping.is_set():
                raise SkipJob(INTERRUPTED) from busy


def _taken(flow: Flow, lock: _Lock, channel: Channel, wait: float) -> Lease:
    holder = {"job": flow.job.name}
    return channel.lock(lock.name, ttl=_TTL, wait=wait, keep_alive=True, holder=holder)
