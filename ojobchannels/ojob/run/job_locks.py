"""Acquire and hold the locks of one job call: `typeArgs.single` and `typeArgs.lock`."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.lease import Lease
from ojobchannels.errors import InvalidJobArgs, JobMisuse, LockBusy, describe_holder
from ojobchannels.manager.local_launches.pool import release_slot
from ojobchannels.ojob.args.templates import render
from ojobchannels.ojob.load.job_file import TURNS
from ojobchannels.ojob.run.job_context import JobContext, SkipJob
from ojobchannels.ojob.run.launches import INTERRUPTED
from ojobchannels.printable import storable

_TTL_SECONDS: Final = 60.0
_WAIT_SECONDS: Final = 1.0


class _Lock(NamedTuple):
    """A lock, and how messages name it."""

    channel: str
    name: str
    label: str


_held_around: ContextVar[frozenset[_Lock]] = ContextVar("locks of the calls around this one")


class JobLocks(AbstractContextManager[None]):
    """Holds the locks of a job call while its block runs.

    A class, because a generator would leave frames of `contextlib` in the tracebacks of errors.

    Raises:
        SkipJob: The call is for a fire time and a lock is held, or the run is shutting down.
        LockLost: A lock was lost while the block ran.
        ChannelError: A lock could not be acquired.
    """

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._held = ExitStack()
        self._around = _held_around.get(frozenset())

    def __enter__(self) -> None:
        try:
            for lock in _locks(self._context):
                self._acquire(lock)
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def _acquire(self, lock: _Lock) -> None:
        if lock in self._around:
            reason = f"it would wait forever for {lock.label}, which the calling job holds"
            advice = "launch the job, or remove the lock from one of the two jobs"
            raise JobMisuse(self._context.job.name, reason, advice)
        lease = _lease(self._context, lock)
        self._held.push(lease)
        self._context.leases.append(lease)
        _held_around.set(_held_around.get(frozenset()) | {lock})

    def __exit__(self, *error: Any) -> None:
        _held_around.set(self._around)
        self._context.leases.clear()
        self._held.__exit__(*error)


def _locks(context: JobContext) -> Iterator[_Lock]:
    locks, job = context.job.locks, context.job.name
    if locks is None:
        return
    if locks.single:
        name = storable(f"{context.session.file.name}: {job}")
        yield _Lock(TURNS, name, "the `single` lock of the job")
    if locks.lock is not None:
        context.render_args()
        key = "typeArgs.lock"
        name = render({key: locks.lock}, context.args.values, context.job.where)[key]
        if not isinstance(name, str) or not name:
            reason = f"the lock name {locks.lock!r} becomes {name!r}"
            raise InvalidJobArgs(f"job {job!r}", reason, "it must become a non-empty string")
        yield _Lock(locks.channel, name, f"the lock {name!r}")


def _lease(context: JobContext, lock: _Lock) -> Lease:
    """Acquire a lock, waiting until it is free; a call for a fire time does not wait."""
    channel = context.session.lock_channel(context.job.name, lock.channel)
    try:
        return _acquired(context, lock, channel, wait=0)
    except LockBusy as busy:
        holder = describe_holder(busy.holder)
        if context.fire_time is not None and context.if_running == "skip":
            raise SkipJob(f"{lock.label} is held by {holder}") from busy
        context.log("info", f"waiting for {lock.label}, held by {holder}")
    while True:
        try:
            with release_slot():
                return _acquired(context, lock, channel, wait=_WAIT_SECONDS)
        except LockBusy as busy:
            if context.session.stopping.is_set():
                raise SkipJob(INTERRUPTED) from busy


def _acquired(context: JobContext, lock: _Lock, channel: Channel, wait: float) -> Lease:
    holder = {"job": context.job.name}
    return channel.lock(lock.name, ttl=_TTL_SECONDS, wait=wait, keep_alive=True, holder=holder)
