"""Calls to the server: within a time, asked again where that is safe, with errors of ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

import pymongo

from ojobchannels.errors import ChannelClosed, ChannelError
from ojobchannels_mongo.errors import DRIVER_ERRORS, Operation, Rule, Verdict, explain, judge
from ojobchannels_mongo.servers import Link, Server

_T = TypeVar("_T")
_SHORTEST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.1


class Line:
    """One channel's way to its server."""

    def __init__(self, channel: str, server: Server, timeout: float) -> None:
        self.channel = channel
        self.server = server
        self.timeout = timeout
        self.closed = False

    def call(
        self,
        operation: Operation,
        work: Callable[[Link, bool], _T],
        seconds: float | None = None,
    ) -> _T:
        """Does `work(link, again)`; `again` tells that it may have been done before.

        Args:
            operation: What it is, and whether it may be asked again.
            work: Talks to the server; it may be called more than once.
            seconds: How long all of it may take; the channel's timeout by default.

        Raises:
            ChannelError: It could not be done; the driver's error is the cause.
        """
        limit = self.timeout if seconds is None else seconds
        ends = time.monotonic() + limit
        pause = _SHORTEST_PAUSE
        lost = False
        with pymongo.timeout(limit):
            while True:
                if self.closed:
                    raise ChannelClosed(self.channel)
                try:
                    return work(self.server.link(), lost)
                except DRIVER_ERRORS as error:
                    verdict = judge(error)
                    if verdict is Verdict.LOST:
                        lost = True
                    useless = verdict is Verdict.REFUSED or (lost and operation.rule is Rule.ONCE)
                    if useless or time.monotonic() + pause >= ends:
                        raise self._explained(error, operation, lost, limit) from self._told(error)
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _explained(
        self, error: Exception, operation: Operation, lost: bool, seconds: float
    ) -> ChannelError:
        if self.closed:
            return ChannelClosed(self.channel)
        return explain(
            error,
            lost=lost,
            operation=operation,
            channel=self.channel,
            settings=self.server.settings,
            seconds=seconds,
        )

    def _told(self, error: Exception) -> Exception | None:
        """Returns what may stand as the cause: nothing that quotes a password."""
        text = str(error)
        return error if self.server.settings.redact(text) == text else None
