"""A daemon makes itself known: by a lock that it holds while it is alive, and by documents."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import ojobchannels
from ojobchannels.channels.acquire import this_host
from ojobchannels.channels.channel import Channel
from ojobchannels.channels.lease import Lease
from ojobchannels.errors import ChannelError
from ojobchannels.host.clock import now_ms
from ojobchannels.host.process_identity import this_process
from ojobchannels.manager.schedules import lists, overview, schedule_documents
from ojobchannels.manager.schedules.published import (
    BEGUN,
    DAEMONS,
    DaemonInfo,
    Published,
    lock_name,
    part_key,
)
from ojobchannels.manager.schedules.schedule_documents import ScheduleDocuments

_TTL_SECONDS: Final = 10.0
_LIFE_SIGN_SECONDS: Final = 10.0
_BEGUN_SECONDS: Final = 2.0
_SWEEP_SECONDS: Final = 3600.0
_KEPT_DEAD: Final = 100
_KEPT_MS: Final = 30 * 86_400_000


class Presence:
    """What one daemon publishes.

    Args:
        state: The state channel.
        file: Its job file.
        file_hash: The hash of the file.
    """

    def __init__(self, state: Channel, file: str, file_hash: str) -> None:
        self._state = state
        now = now_ms()
        self.info = DaemonInfo(
            id=uuid.uuid4().hex,
            host=this_host(),
            pid=os.getpid(),
            version=ojobchannels.__version__,
            file=file,
            file_hash=file_hash,
            started=now,
            seen=now,
            stopped=None,
            alive=True,
            process=this_process(),
        )
        self._documents = ScheduleDocuments(state, self.info.id)
        self._lease: Lease | None = None
        self._schedules: Iterable[Published] | None = None
        self._begun: dict[str, int] = {}
        self._signed = self._swept = float("-inf")

    @property
    def is_alive(self) -> bool:
        """Whether others see that this daemon lives."""
        return self._lease is not None and not self._lease.lost

    def update(
        self, schedules: Iterable[Published], begun: Mapping[str, int], file_hash: str
    ) -> None:
        """Publish what has changed, and a sign of life from time to time.

        Args:
            schedules: The schedules, which are kept and compared with those of the next call.
            begun: When jobs without records began last, by the name of the schedule.
            file_hash: The hash of the job file.
        """
        if not self.is_alive:
            self._lease = self._state.try_lock(
                lock_name(self.info.id), ttl=_TTL_SECONDS, keep_alive=True
            )
            self._schedules = None  # another daemon may have removed those of a dead one
            self._signed = float("-inf")
        if file_hash != self.info.file_hash:
            self.info = replace(self.info, file_hash=file_hash)
            self._signed = float("-inf")
        if self._schedules is None:
            lists.change(self._state, DAEMONS, self._with_own)
            self._documents.write_all(schedules)
        elif schedules != self._schedules:
            self._documents.write(schedules)
        if schedules != self._schedules:
            self._schedules, self._swept = schedules, float("-inf")
        elapsed = time.monotonic() - self._signed
        if elapsed >= (_LIFE_SIGN_SECONDS if begun == self._begun else _BEGUN_SECONDS):
            self._sign(begun)
        self._documents.remove_replaced()
        if time.monotonic() - self._swept >= _SWEEP_SECONDS:
            self._swept = time.monotonic()
            sweep(self._state, self.info, schedules)

    def close(self) -> None:
        """Publish that the daemon was stopped in order; its schedules stay known."""
        with suppress(ChannelError):
            if self._schedules is not None:
                stopped = replace(self.info, seen=now_ms(), stopped=now_ms())
                self._state.set(stopped.key, stopped.document)
            if self._lease is not None:
                self._lease.release()

    def _with_own(self, known: list[Any]) -> list[Any]:
        return known if self.info.id in known else [*known, self.info.id]

    def _sign(self, begun: Mapping[str, int]) -> None:
        self.info = replace(self.info, seen=now_ms())
        if begun != self._begun:
            self._state.set(part_key(self.info.id, BEGUN), {BEGUN: dict(begun)})
            self._begun = dict(begun)
        self._state.set(self.info.key, self.info.document)
        self._signed = time.monotonic()


def sweep(state: Channel, own: DaemonInfo, schedules: Iterable[Published]) -> None:
    """Remove what dead daemons have published and no one needs any more.

    A daemon replaces the dead ones of its file on its host, and those that were stopped in order
    anywhere if they had one of its schedules. Others stay for thirty days: their schedules may be
    overdue.
    """
    dead = [info for info in overview.daemons(state) if not info.alive and info.id != own.id]
    dead.sort(key=lambda info: info.seen, reverse=True)
    for number, info in enumerate(dead):
        outdated = number >= _KEPT_DEAD or info.seen < now_ms() - _KEPT_MS
        if outdated or _is_replaced(state, info, own, schedules):
            forget(state, info.id)


def forget(state: Channel, daemon: str) -> None:
    """Remove what a daemon has published."""
    schedule_documents.remove(state, daemon)
    state.unset(part_key(daemon, BEGUN))
    lists.change(state, DAEMONS, lambda known: [each for each in known if each != daemon])
    state.unset({"daemon": daemon})


def _is_replaced(
    state: Channel, dead: DaemonInfo, own: DaemonInfo, schedules: Iterable[Published]
) -> bool:
    if dead.file != own.file or dead.started > own.started:
        return False
    if dead.host == own.host:
        return True
    if dead.stopped is None:
        return False
    theirs = {schedule.name for schedule in schedule_documents.read(state, dead.id)}
    return not theirs.isdisjoint(each.name for each in schedules)
