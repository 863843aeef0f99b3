"""Every error of this package: one tree, each with its facts and a message that says what to do.

One module, however long it grows: who handles errors looks here for all of them.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

_USER_OF_URL = re.compile(r"(.*?//)?.*@", re.DOTALL)
_SECRET_FIELD = re.compile(
    r"""((?:pass|pwd|secret|token)\w*['"]?\s*[=:]\s*)
        (?:'(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | [^&]+)""",
    re.IGNORECASE | re.VERBOSE,
)


class ChannelError(Exception):
    """Root of all errors that this package raises on purpose.

    Every subclass keeps its facts as attributes, derives from the builtin that fits it best, and
    survives pickling.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), self.args, dict(self.__dict__))


def _revive(kind: type[ChannelError], args: tuple[Any, ...], facts: dict[str, Any]) -> ChannelError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(facts)
    return error


class InvalidKey(ChannelError, ValueError):
    """A key that is no string, integer, float, boolean or map, or holds what is not JSON."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(
            f"invalid key at {path}: {reason}; a key is a string, a 64-bit integer, a finite "
            "float, a boolean or a map of JSON values"
        )


class InvalidValue(ChannelError, ValueError):
    """A value that is not a JSON document, or larger than the backend takes."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"invalid value at {path}: {reason}; store plain JSON documents")


class InvalidName(ChannelError, ValueError):
    """A name of a channel or lock that is empty, too long or not plain text."""

    def __init__(self, what: str, name: object, reason: str) -> None:
        self.what = what
        self.name = name
        self.reason = reason
        super().__init__(
            f"invalid {what} name {_short(name)}: {reason}; use 1 to 4096 bytes of UTF-8 without "
            "NUL"
        )


class InvalidOption(ChannelError, ValueError):
    """An option, argument or URL that a channel, lock or job does not take."""

    def __init__(self, option: str, reason: str, advice: str) -> None:
        self.option = option
        self.reason = reason
        self.advice = advice
        super().__init__(f"invalid {option}: {reason}; {advice}")


class UnknownChannelType(ChannelError, LookupError):
    """No installed plugin offers the channel type that was asked for."""

    def __init__(self, type: str, known: tuple[str, ...], distribution: str | None) -> None:
        self.type = type
        self.known = known
        self.distribution = distribution
        advice = (
            f"install it with: pip install {distribution}"
            if distribution
            else f"known types are {', '.join(known)}"
        )
        super().__init__(f"no plugin offers the channel type {shown(type)}; {advice}")


class DuplicateChannelType(ChannelError, LookupError):
    """Two installed distributions offer the same channel type."""

    def __init__(self, type: str, providers: tuple[str, ...]) -> None:
        self.type = type
        self.providers = providers
        super().__init__(
            f"the channel type {type!r} is offered by {' and by '.join(providers)}; uninstall "
            "one of them, or leave it out with OJOBCHANNELS_DISABLE_PLUGINS"
        )


class PluginFailed(ChannelError, ImportError):
    """The plugin that offers a channel type could not be loaded."""

    def __init__(self, type: str, distribution: str, reason: str) -> None:
        self.type = type
        self.distribution = distribution
        self.reason = reason
        super().__init__(
            f"the plugin {type!r} of {distribution} could not be loaded: {reason}; reinstall or "
            f"upgrade it with: pip install --upgrade {distribution}"
        )


class NotSupported(ChannelError, NotImplementedError):
    """The backend, or this platform, does not offer what was asked for."""

    def __init__(self, channel: str, what: str, advice: str) -> None:
        self.channel = channel
        self.what = what
        self.advice = advice
        super().__init__(f"channel {channel!r} does not support {what}; {advice}")


class ChannelUnavailable(ChannelError, ConnectionError):
    """The storage behind a channel cannot be opened, read or written."""

    def __init__(self, channel: str, reason: str, advice: str) -> None:
        self.channel = channel
        self.reason = reason
        self.advice = advice
        super().__init__(f"channel {channel!r} is unavailable: {reason}; {advice}")


class StorageFull(ChannelUnavailable):
    """The disk, quota or limit behind a channel is used up; nothing was changed."""


class ChannelDamaged(ChannelError, ValueError):
    """The stored data is not what this package writes; it was left as it is."""

    def __init__(self, channel: str, path: str, reason: str, advice: str) -> None:
        self.channel = channel
        self.path = path
        self.reason = reason
        self.advice = advice
        super().__init__(f"channel {channel!r} cannot read {path}: {reason}; {advice}")


class ChannelTimeout(ChannelError, TimeoutError):
    """The storage did not answer in time; nothing was changed."""

    def __init__(self, channel: str, what: str, seconds: float) -> None:
        self.channel = channel
        self.what = what
        self.seconds = seconds
        super().__init__(
            f"channel {channel!r} got no answer within {seconds:g} s while it tried to {what}; "
            "look for a stopped process that works on the same storage, then try again"
        )


class ChannelClosed(ChannelError, RuntimeError):
    """The channel was closed before, or while, the operation ran."""

    def __init__(self, channel: str) -> None:
        self.channel = channel
        super().__init__(f"channel {channel!r} is closed; open it again with open_channel")


class OutcomeUnknown(ChannelError, ConnectionError):
    """The reply was lost: the operation may have happened, or not."""

    def __init__(self, channel: str, operation: str, advice: str) -> None:
        self.channel = channel
        self.operation = operation
        self.advice = advice
        super().__init__(
            f"the reply to {operation} on channel {channel!r} was lost, so its outcome is unknown; "
            f"{advice}"
        )


class StaleFence(ChannelError, PermissionError):
    """A write was refused because a later holder has already written that key."""

    def __init__(self, channel: str, key: object, fence: int, mark: int) -> None:
        self.channel = channel
        self.key = key
        self.fence = fence
        self.mark = mark
        super().__init__(
            f"channel {channel!r} refused to write key {_short(key)} with fence {fence}: a later "
            f"lease (fence {mark}) has written it; stop working, the lock is lost"
        )


class LockBusy(ChannelError, TimeoutError):
    """Somebody else holds the lock.

    Attributes:
        holder: What the holder told of itself: host, pid, thread and more.
        remaining: Seconds until its lease ends, if it is not renewed.
        waited: Seconds that were spent waiting.
    """

    def __init__(
        self, channel: str, name: str, holder: dict[str, Any], remaining: float, waited: float
    ) -> None:
        self.channel = channel
        self.name = name
        self.holder = holder
        self.remaining = remaining
        self.waited = waited
        after = f" after waiting {waited:.3g} s" if waited else ""
        super().__init__(
            f"lock {_short(name)} on channel {channel!r} is held by {describe_holder(holder)}"
            f"{after}; its lease lasts another {remaining:.3g} s unless renewed: try later, pass "
            "a longer wait, or force_unlock it if that holder is known to be gone"
        )

    def told(self) -> str:
        """Says who holds it, without advice."""
        return f"held by {describe_holder(self.holder)}"


class LockLost(ChannelError, RuntimeError):
    """A lease is over although its holder did not release it."""

    def __init__(self, channel: str, name: str, fence: int, reason: str) -> None:
        self.channel = channel
        self.name = name
        self.fence = fence
        self.reason = reason
        super().__init__(
            f"lost the lock {_short(name)} on channel {channel!r} (fence {fence}): {reason}; stop "
            "working on what it protects, and take it again"
        )


class JobError(ChannelError):
    """Root of the job manager's and job files' own errors."""


class UnknownJob(JobError, LookupError):
    """No job of that name is known."""

    def __init__(self, name: str, known: tuple[str, ...], hint: str | None = None) -> None:
        self.name = name
        self.known = known
        self.hint = hint
        listed = ", ".join(repr(one) for one in known) or "none"
        meant = f"did you mean {hint!r}? " if hint else ""
        super().__init__(f"unknown job {name!r}; {meant}known jobs: {listed}")


class RunNotStarted(JobError, RuntimeError):
    """A run was to be ended that was not started here, or has already ended."""

    def __init__(self, what: str, name: str | None) -> None:
        self.what = what
        self.name = name
        of = f" of {name!r}" if name else ""
        super().__init__(
            f"{what}: there is no open run{of} here; start one first, and end it only once"
        )


class JobTimeout(JobError, TimeoutError):
    """A run took longer than its timeout."""

    def __init__(self, name: str, seconds: float) -> None:
        self.name = name
        self.seconds = seconds
        super().__init__(
            f"job {name!r} ran longer than its timeout of {seconds:g} s; raise the timeout, or "
            "split the work"
        )


class CodeFailed(JobError, RuntimeError):
    """Code of a job in a language other than Python failed.

    Attributes:
        where: The file, and the line if that is known.
        reason: What the code, or what runs it, has said.
        advice: What to do; may be empty.
    """

    def __init__(self, where: str, reason: str, advice: str = "") -> None:
        self.where = where
        self.reason = reason
        self.advice = advice
        super().__init__(f"{where}: {reason}" + (f"; {advice}" if advice else ""))


class CodeFault(JobError, ValueError):
    """Code of a job that cannot run, found before anything does; a fault of its file.

    Attributes:
        reason: What is wrong.
        line: Where, counted as `ojobchannels.Code` counts.
        column: Where in that line of the code, counted from 1.
    """

    def __init__(self, reason: str, line: int, column: int = 1) -> None:
        self.reason = reason
        self.line = line
        self.column = column
        super().__init__(f"line {line}, column {column} of the code: {reason}; mend it there")


class FireTimeTaken(JobError, RuntimeError):
    """A run was to start for a fire time of its schedule that another run has taken.

    Attributes:
        fire_time: Milliseconds since 1970.
    """

    def __init__(self, name: str, fire_time: int) -> None:
        self.name = name
        self.fire_time = fire_time
        when = datetime.fromtimestamp(fire_time / 1000, UTC).isoformat(timespec="milliseconds")
        super().__init__(
            f"the run of job {name!r} for {when.replace('+00:00', 'Z')} was taken by another "
            "process; there is nothing to do"
        )


class Diagnostic(NamedTuple):
    """One fault of a job file.

    Attributes:
        file: The file, as it was asked for.
        line: Counted from 1; 0 for a fault of the whole file.
        column: Counted from 1; 0 for a fault of the whole file.
        path: Where in the document, such as ``jobs[2].args.timeout``; may be empty.
        message: What is wrong.
        hint: What to do about it; may be empty.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        said = "; ".join(part for part in (self.message, self.hint) if part)
        return ": ".join(part for part in (place, self.path, said) if part)


class JobFileError(JobError, ValueError):
    """A job file, or one that it includes, is faulty; nothing of it was run."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.diagnostics = diagnostics
        super().__init__("\n".join(map(str, diagnostics)))


class InvalidJobArgs(JobError, ValueError):
    """Arguments of a job that cannot be read, are missing, or name something unknown."""

    def __init__(self, where: str, reason: str, advice: str) -> None:
        self.where = where
        self.reason = reason
        self.advice = advice
        super().__init__(f"{where}: {reason}; {advice}")


class LogFileUnavailable(JobError, OSError):
    """A log file of a job file cannot be written."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(
            f"cannot write the log file {path!r} ({reason}); make its folder writable, or name "
            "another one in ojob.logToFile.logFolder"
        )


class RunsAlready(JobError, RuntimeError):
    """A job file with ``ojob.unique`` runs already on this host; nothing was run.

    Attributes:
        pid: The process that runs it, which may be this one, or None if it has not told yet.
    """

    def __init__(self, file: str, pid_file: str, pid: int | None) -> None:
        self.file = file
        self.pid_file = pid_file
        self.pid = pid
        who, advice = "another process", "wait for its end, or stop it"
        if pid == os.getpid():
            who = "this very process"
            advice = "call it when that run is over, or name another file in `ojob.unique.pidFile`"
        elif pid:
            who, advice = f"process {pid}", f"{advice} by `kill {pid}`"
        super().__init__(f"{file} runs already: {who} holds {pid_file!r}; {advice}")


class JobMisuse(JobError, RuntimeError):
    """A job did something that has no meaning at that point of its work."""

    def __init__(self, job: str, reason: str, advice: str) -> None:
        self.job = job
        self.reason = reason
        self.advice = advice
        super().__init__(f"job {job!r}: {reason}; {advice}")


def describe_holder(holder: dict[str, Any]) -> str:
    """Tells in a few words who holds a lock, from the document that the holder left."""
    if not holder:
        return "somebody that left no word of itself"
    if holder.keys() == {"next"}:
        return f"nobody, but kept for {holder['next']}"
    known = [
        f"{part} {holder[part]}" for part in ("host", "pid", "thread", "job") if part in holder
    ]
    return ", ".join(known) or _short(holder)


def shown(value: object, secret: bool = False) -> str:
    """Returns how a message may quote an option's value: without what may be a password.

    Args:
        value: The value. Of a URL, user and password are hidden, and what is named like a secret.
        secret: Whether all of it is to be hidden.

    Example:
        >>> print(shown("redis://job:pa55@example.org/0"))
        'redis://***@example.org/0'
    """
    if secret:
        return f"a value of type {type(value).__name__}"
    text = repr(value)
    return _USER_OF_URL.sub(_without_user, _SECRET_FIELD.sub(r"\1***", text))


def _without_user(found: re.Match[str]) -> str:
    return f"{found[1] or found[0][0]}***@"


def _short(thing: object) -> str:
    text = repr(thing)
    return text if len(text) <= 120 else f"{text[:117]}..."
