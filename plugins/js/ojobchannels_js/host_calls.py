"""The calls of a block of JavaScript that its job handles."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Queue
from typing import Any, Final

from ojobchannels import MISSING, Change, Channel, Host, JobError, Launch, Subscription
from ojobchannels.errors import JobMisuse, safe_str
from ojobchannels.host.clock import next_wait

_LOCKS: Final = "oJobManager-locks"


class HostCalls:
    """Handles the calls of one block."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._raised: list[Exception] = []
        self._launches: list[Launch] = []
        self._subscriptions: list[Subscription] = []
        # A SimpleQueue may wait forever after a stall, before Python 3.13.
        self._changes: Queue[tuple[int, Change]] = Queue()
        self._calls: dict[str, Callable[..., Any]] = {
            "channel": self._channel,
            "changes": self._arrived,
            "channels": host.channels,
            "destroy": lambda name: host.channel(name).destroy(),
            "isManaged": self._is_managed,
            "job": self._run,
            "launch": self._launch,
            "launchDone": lambda number: self._launches[number].done(),
            "launchResult": self._result,
            "launchState": lambda number: self._launches[number].state,
            "log": host.log,
            "open": self._open,
            "print": host.print,
            "skip": host.skip,
            "subscribe": self._subscribe,
            "unlock": self._unlock,
        }

    def __enter__(self) -> HostCalls:
        return self

    def __exit__(self, *_: object) -> None:
        for subscription in self._subscriptions:
            subscription.close()

    def reply(self, call: str, args: list[Any]) -> dict[str, Any]:
        """Handle a call, and return the reply: a map with `ok`, `err`, or neither for undefined.

        An `Exception` is thrown again in JavaScript, which may catch it.
        """
        try:
            result = self._calls[call](*args)
        except Exception as error:  # noqa: BLE001  it is thrown in JavaScript
            self._raised.append(error)
            thrown = {"name": type(error).__name__, "message": safe_str(error)}
            return {"err": thrown | {"raised": len(self._raised) - 1}}
        return {} if result is MISSING else {"ok": result}

    def raised(self, number: int | None) -> Exception | None:
        """Return the exception that was thrown in JavaScript under this number."""
        return None if number is None else self._raised[number]

    def _run(self, name: str, args: dict[str, Any] | None = None) -> Any:
        result = self._host.run(name, args)
        return MISSING if result is None else result

    def _open(self, name: str, type: str, options: dict[str, Any]) -> None:
        self._host.channel(name, {"type": type, "args": options})

    def _channel(self, name: str, operation: str, args: list[Any]) -> Any:
        channel = self._host.channel(name)
        if name == _LOCKS and operation in _LOCK_OPERATIONS:
            return _LOCK_OPERATIONS[operation](channel, *args)
        return _OPERATIONS[operation](channel, *args)

    def _subscribe(self, name: str) -> int:
        number = len(self._subscriptions)
        subscription = self._host.channel(name).subscribe(
            lambda change: self._changes.put((number, change))
        )
        self._subscriptions.append(subscription)
        return number

    def _arrived(self, milliseconds: float) -> list[tuple[int, str, Any, Any]]:
        """Return the changes that arrive within some milliseconds."""
        changes: list[tuple[int, str, Any, Any]] = []
        deadline = time.monotonic() + milliseconds / 1000
        while (left := deadline - time.monotonic()) > 0:
            with suppress(Empty):
                number, change = self._changes.get(timeout=next_wait(left))
                if change.op != "resync":
                    changes.append((number, change.op, change.key, change.value))
        return changes

    def _launch(self, name: str, args: dict[str, Any] | None = None) -> int:
        self._launches.append(self._host.launch(name, args))
        return len(self._launches) - 1

    def _result(self, number: int, milliseconds: float | None = None) -> Any:
        timeout = None if milliseconds is None else milliseconds / 1000
        return self._launches[number].result(timeout)

    def _is_managed(self) -> bool:
        try:
            self._host.channel(_LOCKS)
        except JobError:
            return False
        return True

    def _unlock(self, name: str) -> bool:
        locks = self._host.channel(_LOCKS)
        info = locks.force_unlock(name)
        if info is None:
            held = ", ".join(repr(lock.name) for lock in locks.locks()) or "none"
            advice = f"pass the name of a held lock; held: {held}"
            raise JobMisuse(self._host.job, f"the lock {name!r} is not held", advice)
        holder = ", ".join(f"{key} {value}" for key, value in info.holder.items())
        self._host.log("warn", f"the lock {name!r} was force-released; its holder was: {holder}")
        return True


def _get_set(channel: Channel, match: Any, key: Any, value: Any) -> Any:
    previous = channel.get_set(match, key, value)
    return MISSING if previous is None else previous


def _locks(channel: Channel) -> dict[str, dict[str, Any]]:
    """Return the held locks by name, with the fields that OpenAF writes and those of the holder."""
    return {
        info.name: {**info.holder, "lock": info.name, "value": True, "timeout": info.until}
        for info in channel.locks()
    }


def _get_lock(channel: Channel, key: Any) -> Any:
    name = key.get("lock") if isinstance(key, dict) else key
    return _locks(channel).get(str(name), MISSING)


_LOCK_OPERATIONS: Final[dict[str, Callable[..., Any]]] = {
    "get": _get_lock,
    "getAll": lambda channel: list(_locks(channel).values()),
    "getKeys": lambda channel: [{"lock": name} for name in _locks(channel)],
    "size": lambda channel: len(_locks(channel)),
}
"""What reads the locks channel: readers look for locks there, though they are not documents."""

_OPERATIONS: Final[dict[str, Callable[..., Any]]] = {
    "get": lambda channel, key: channel.get(key, default=MISSING),
    "getAll": lambda channel, match=None: channel.get_all(match=match),
    "getKeys": lambda channel: channel.get_keys(),
    "getSet": _get_set,
    "pop": lambda channel: channel.pop(default=MISSING),
    "set": lambda channel, key, value: channel.set(key, value),
    "setAll": lambda channel, items: channel.set_all([(key, value) for key, value in items]),
    "shift": lambda channel: channel.shift(default=MISSING),
    "size": lambda channel: channel.size(),
    "unset": lambda channel, key: channel.unset(key),
    "unsetAll": lambda channel, keys: channel.unset_all(keys),
}
