"""The errors of channels and locks."""

from typing import Any, Final, Literal

from ojobchannels.errors.text import describe_holder, message, quoted, shown


class ChannelError(Exception):
    """Root of all errors that this package raises on purpose.

    Every subclass stores the facts as attributes, also derives from the closest builtin exception,
    and can be pickled. In its message, control characters are escaped and secrets masked.
    """

    def __init__(self, text: str = "") -> None:
        for part in ("reason", "advice"):
            if isinstance(vars(self).get(part), str):
                setattr(self, part, message(vars(self)[part]))
        super().__init__(*((message(text),) if text else ()))

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), self.args, dict(self.__dict__))


def _revive(kind: type[ChannelError], args: tuple[Any, ...], facts: dict[str, Any]) -> ChannelError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(facts)
    return error


class InvalidKey(ChannelError, ValueError):
    """A key is not a string, integer, float, boolean or map, or contains what is not JSON."""

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"invalid key at {path}: {reason}; a key is a string, a 64-bit integer, a finite "
            "float, a boolean or a map of JSON values"
        )


class InvalidValue(ChannelError, ValueError):
    """A value is not a JSON document, or is larger than the backend accepts."""

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"invalid value at {path}: {reason}; store JSON documents only")


class InvalidName(ChannelError, ValueError):
    """The name of a channel or lock is empty, too long or not valid UTF-8 text."""

    def __init__(self, what: str, name: object, reason: str) -> None:
        self.what, self.name, self.reason = what, name, reason
        super().__init__(
            f"invalid {what} name {quoted(name)}: {reason}; use 1 to 4096 bytes of UTF-8 without "
            "NUL"
        )


class InvalidOption(ChannelError, ValueError):
    """An option, argument or URL is not valid for this channel, lock or job."""

    def __init__(self, option: str, reason: str, advice: str) -> None:
        self.option, self.reason, self.advice = option, reason, advice
        super().__init__(f"invalid {option}: {reason}; {advice}")


class UnknownChannelType(ChannelError, LookupError):
    """No installed plugin provides the requested channel type."""

    def __init__(self, type: str, known: tuple[str, ...], distribution: str | None) -> None:
        self.type, self.known, self.distribution = type, known, distribution
        advice = (
            f"install it with: pip install {distribution}"
            if distribution
            else f"known types are {', '.join(known)}"
        )
        super().__init__(f"unknown channel type {shown(type)}; {advice}")


class DuplicateChannelType(ChannelError, LookupError):
    """Two installed distributions provide the same channel type."""

    def __init__(self, type: str, providers: tuple[str, ...]) -> None:
        self.type, self.providers = type, providers
        super().__init__(
            f"the channel type {type!r} is provided by {' and by '.join(providers)}; uninstall "
            "one of them, or disable one with OJOBCHANNELS_DISABLE_PLUGINS"
        )


class PluginFailed(ChannelError, ImportError):
    """The plugin that provides a channel type could not be loaded."""

    def __init__(self, type: str, distribution: str, reason: str) -> None:
        self.type, self.distribution, self.reason = type, distribution, reason
        super().__init__(
            f"the plugin {type!r} of {distribution} could not be loaded: {reason}; reinstall or "
            f"upgrade it with: pip install --upgrade {distribution}"
        )


class InvalidBackend(ChannelError, TypeError):
    """A backend does not implement the operations as specified; its author must correct it."""

    def __init__(self, type: str, backend: str, reason: str) -> None:
        self.type, self.backend, self.reason = type, backend, reason
        super().__init__(f"the backend {backend} of channel type {type!r} is invalid: {reason}")


class NotSupported(ChannelError, NotImplementedError):
    """The backend or this platform does not support the requested operation."""

    def __init__(self, channel: str, what: str, advice: str) -> None:
        self.channel, self.what, self.advice = channel, what, advice
        super().__init__(f"channel {channel!r} does not support {what}; {advice}")


class ChannelUnavailable(ChannelError, ConnectionError):
    """The storage behind a channel cannot be opened, read or written."""

    def __init__(self, channel: str, reason: str, advice: str) -> None:
        self.channel, self.reason, self.advice = channel, reason, advice
        super().__init__(f"channel {channel!r} is unavailable: {reason}; {advice}")


class StorageFull(ChannelUnavailable):
    """The disk is full, or a quota or size limit is reached; nothing was changed."""


class ChannelDamaged(ChannelError, ValueError):
    """The stored data is not in the format that this package writes; it was left unchanged."""

    def __init__(self, channel: str, path: str, reason: str, advice: str) -> None:
        self.channel, self.path, self.reason, self.advice = channel, path, reason, advice
        super().__init__(f"channel {channel!r} cannot read {path}: {reason}; {advice}")


class ChannelTimeout(ChannelError, TimeoutError):
    """The storage could not be accessed in time; nothing was changed."""

    def __init__(self, channel: str, what: str, seconds: float) -> None:
        self.channel, self.what, self.seconds = channel, what, seconds
        super().__init__(
            f"channel {channel!r} timed out after {seconds:g} s while trying to {what}; look for a "
            "stopped process that uses the same storage, then try again"
        )


class ChannelClosed(ChannelError, RuntimeError):
    """The channel was closed before, or while, the operation ran."""

    def __init__(self, channel: str) -> None:
        self.channel = channel
        super().__init__(self._text())

    def _text(self) -> str:
        return f"channel {self.channel!r} is closed; open it again with open_channel"


class WrongEventLoop(ChannelError, RuntimeError):
    """An asynchronous channel or manager was used outside of the event loop that it belongs to."""

    def __init__(self, what: str, reason: str, advice: str) -> None:
        self.what, self.reason, self.advice = what, reason, advice
        super().__init__(f"{what}: {reason}; {advice}")


class OutcomeUnknown(ChannelError, ConnectionError):
    """The server's reply was lost: the operation may or may not have happened."""

    def __init__(self, channel: str, operation: str, advice: str) -> None:
        self.channel, self.operation, self.advice = channel, operation, advice
        super().__init__(
            f"the reply to {operation} on channel {channel!r} was lost, so its outcome is unknown; "
            f"{advice}"
        )


STORE_ERRORS: Final = (ChannelUnavailable, ChannelTimeout, OutcomeUnknown)
"""The errors of an outage."""


class StaleFence(ChannelError, PermissionError):
    """A write was refused because the key was already written with a higher fence."""

    def __init__(self, channel: str, key: object, fence: int, mark: int) -> None:
        self.channel, self.key, self.fence, self.mark = channel, key, fence, mark
        super().__init__(
            f"channel {channel!r} refused to write key {quoted(key)} with fence {fence}: the "
            f"holder of a later lease (fence {mark}) has already written it; stop, this lease "
            "has lost its lock"
        )


class LockBusy(ChannelError, TimeoutError):
    """Another holder has the lock.

    Attributes:
        holder: The holder info stored with the lease: host, pid, thread and more.
        remaining: Seconds until that lease expires, if it is not renewed.
        waited: Seconds spent waiting for the lock.
        slots: The number of slots of the lock. If there are several, the holder is the one whose
            lease expires first.
    """

    def __init__(
        self,
        channel: str,
        name: str,
        holder: dict[str, Any],
        remaining: float,
        waited: float,
        slots: int = 1,
    ) -> None:
        self.channel, self.name, self.holder = channel, name, holder
        self.remaining, self.waited, self.slots = remaining, waited, slots
        super().__init__(self._text())

    def _text(self) -> str:
        after = f" after waiting {self.waited:.3g} s" if self.waited else ""
        return (
            f"lock {quoted(self.name)} on channel {self.channel!r} is {self.summary()}"
            f"{after}; the lease expires in {self.remaining:.3g} s unless renewed: try again "
            "later, pass a longer wait, or force-release the lock with force_unlock if that holder "
            "is known to be dead"
        )

    def summary(self) -> str:
        """Return "held by …" with the holder info, without advice."""
        others = f" and others: none of its {self.slots} slots is free" if self.slots > 1 else ""
        return f"held by {describe_holder(self.holder)}{others}"


class WouldDeadlock(LockBusy):
    """The caller that would wait for the lock holds it itself; locks are not reentrant.

    It is raised, too, if the caller holds all slots of a lock with slots.

    Attributes:
        caller: What holds it: ``thread``, or ``task`` for a task of asyncio.
    """

    def __init__(
        self,
        channel: str,
        name: str,
        holder: dict[str, Any],
        remaining: float,
        waited: float,
        slots: int = 1,
        caller: Literal["thread", "task"] = "thread",
    ) -> None:
        self.caller = caller
        super().__init__(channel, name, holder, remaining, waited, slots)

    def _text(self) -> str:
        return (
            f"lock {quoted(self.name)} on channel {self.channel!r} is held by this {self.caller} "
            "itself, which would wait forever: locks are not reentrant; use the lease that it has, "
            "release it first, or pass a limit for the wait"
        )

    def summary(self) -> str:
        """Return "held by …" without advice."""
        return f"held by the {self.caller} that would wait for it"


class LockLost(ChannelError, RuntimeError):
    """A lease ended although its holder did not release it."""

    def __init__(self, channel: str, name: str, fence: int, reason: str) -> None:
        self.channel, self.name, self.fence, self.reason = channel, name, fence, reason
        super().__init__(
            f"lost the lock {quoted(name)} on channel {channel!r} (fence {fence}): {reason}; stop "
            "the work that it protects, then acquire the lock again"
        )
