"""A director: executes each (name, uuid) once, however many processes try it at the same time.

Each pair is an entry of a channel, with the key ``{"name": …, "uuid": …}`` and a value with the
times of all starts and ends, ``start`` and ``end``, the ``timestamp`` of the last of them, the
``status``, ``running`` or ``completed``, and after the end its ``result``. A process that executes
it holds the lock of that pair. An execution whose process died has a start without an end, and is
started again.
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.lease import Lease
from ojobchannels.documents import Document
from ojobchannels.errors import InvalidOption

_LONGEST_PAUSE: Final = 1.0
_FIELDS: Final = frozenset({"name", "uuid", "start", "end", "timestamp", "status", "result"})


class Director:
    """Remembers what was executed.

    Example:
        >>> import ojobchannels as oc
        >>> with oc.open_channel("docs-director") as channel:
        ...     director = Director(channel)
        ...     lease = director.check_in("load", "2026-03-01", ttl=60)
        ...     director.check_out(lease, "load", "2026-03-01")
        ...     director.check_in("load", "2026-03-01", ttl=60) is None
        True

    Args:
        channel: The channel of the entries.
        stamp: Fields that are added to each key and value, so that several directors can share a
            channel.
        now: The clock of the start and end times, in seconds since 1970.
    """

    def __init__(
        self,
        channel: Channel,
        stamp: Mapping[str, Document] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.channel = channel
        self._stamp = dict(stamp or {})
        if taken := _FIELDS & self._stamp.keys():
            raise InvalidOption("stamp", f"it has {sorted(taken)}", "use other field names")
        self._now = now

    def executed(self, name: str, uuid: str) -> bool:
        """Return whether the task was executed to its end."""
        return self.execution(name, uuid) is not None

    def execution(self, name: str, uuid: str) -> dict[str, Any] | None:
        """Return the entry of a task that was executed to its end; None for any other."""
        entry = self._entry(name, uuid)
        return entry if entry["end"] else None

    def check_in(self, name: str, uuid: str, *, ttl: float, wait: float | None = 0) -> Lease | None:
        """Start an execution and return its lease; None if the task was executed before.

        Args:
            name: The name of the task.
            uuid: The identifier of the task among those with this name.
            ttl: Seconds after which another process may start it, if this process dies.
            wait: Seconds to wait while another process executes it; None for no limit.

        Raises:
            LockBusy: Another process is executing it.
        """
        if self.executed(name, uuid):
            return None
        lease = self.channel.lock(self._lock(name, uuid), ttl=ttl, wait=wait, keep_alive=True)
        try:
            entry = self._entry(name, uuid)
            if not entry["end"]:
                entry |= self._now_in(entry, "start") | {"status": "running"}
                self.channel.set(self._key(name, uuid), entry, fence=lease.fence)
                return lease
        except BaseException:
            lease.release()
            raise
        lease.release()
        return None

    def check_out(self, lease: Lease, name: str, uuid: str, result: Document = None) -> None:
        """Store that the task was executed, with a result, and release the lease of `check_in`.

        Raises:
            LockLost: The lease was lost in the meantime; nothing was stored.
            StaleFence: Another process has started it since.
        """
        with lease:
            entry = self._entry(name, uuid)
            entry |= self._now_in(entry, "end") | {"status": "completed", "result": result}
            self.channel.set(self._key(name, uuid), entry, fence=lease.fence)

    def wait(
        self, name: str, uuid: str, timeout: float, rest: Callable[[float], object] = time.sleep
    ) -> bool:
        """Wait until the task was executed, at most `timeout` seconds; return whether it was."""
        deadline, pause = time.monotonic() + timeout, 0.02
        while not self.executed(name, uuid):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            rest(min(pause, left))
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        return True

    def _entry(self, name: str, uuid: str) -> dict[str, Any]:
        found = self.channel.get(self._key(name, uuid))
        return (
            found if isinstance(found, dict) else self._key(name, uuid) | {"start": [], "end": []}
        )

    def _key(self, name: str, uuid: str) -> dict[str, Any]:
        return self._stamp | {"name": name, "uuid": uuid}

    def _lock(self, name: str, uuid: str) -> str:
        return json.dumps(self._key(name, uuid), sort_keys=True)

    def _now_in(self, entry: Mapping[str, Any], field: str) -> dict[str, Any]:
        """Return the fields that add the present time to a list of times."""
        now = round(self._now() * 1000)
        return {field: [*entry[field], now], "timestamp": now}
