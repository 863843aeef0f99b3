"""All errors of this package: one tree; every message says what happened and what to do."""

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

    Every subclass stores the facts as attributes, also derives from the closest builtin exception,
    and can be pickled.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), self.args, dict(self.__dict__))


def _revive(kind: type[ChannelError], args: tuple[Any, ...], facts: dict[str, Any]) -> ChannelError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(facts)
    return error


class InvalidKey(ChannelError, ValueError):
    """A key is not a string, integer, float, boolean or map, or contains something not JSON."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(
            f"invalid key at {path}: {reason}; a key is a string, a 64-bit integer, a finite "
            "float, a boolean or a map of JSON values"
        )


class InvalidValue(ChannelError, ValueError):
    """A value is not a JSON document, or is larger than the backend accepts."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"invalid value at {path}: {reason}; store JSON documents only")


class InvalidName(ChannelError, ValueError):
    """The name of a channel or lock is empty, too long or not valid UTF-8 text."""

    def __init__(self, what: str, name: object, reason: str) -> None:
        self.what = what
        self.name = name
        self.reason = reason
        super().__init__(
            f"invalid {what} name {_short(name)}: {reason}; use 1 to 4096 bytes of UTF-8 without "
            "NUL"
        )


class InvalidOption(ChannelError, ValueError):
    """An option, argument or URL is not valid for this channel, lock or job."""

    def __init__(self, option: str, reason: str, advice: str) -> None:
        self.option = option
        self.reason = reason
        self.advice = advice
        super().__init__(f"invalid {option}: {reason}; {advice}")


class UnknownChannelType(ChannelError, LookupError):
    """No installed plugin provides the requested channel type."""

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
    """Two installed distributions provide the same channel type."""

    def __init__(self, type: str, providers: tuple[str, ...]) -> None:
        self.type = type
        self.providers = providers
        super().__init__(
            f"the channel type {type!r} is provided by {' and by '.join(providers)}; uninstall "
            "one of them, or disable one with OJOBCHANNELS_DISABLE_PLUGINS"
        )


class PluginFailed(ChannelError, ImportError):
    """The plugin that provides a channel type could not be loaded."""

    def __init__(self, type: str, distribution: str, reason: str) -> None:
        self.type = type
        self.distribution = distribution
        self.reason = reason
        super().__init__(
            f"the plugin {type!r} of {distribution} could not be loaded: {reason}; reinstall or "
            f"upgrade it with: pip install --upgrade {distribution}"
        )


class NotSupported(ChannelError, NotImplementedError):
    """The backend or this platform does not support the requested operation."""

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
    """The disk is full, or a quota or size limit is reached; nothing was changed."""


class ChannelDamaged(ChannelError, ValueError):
    """The stored data is not in the format that this package writes; it was left unchanged."""

    def __init__(self, channel: str, path: str, reason: str, advice: str) -> None:
        self.channel = channel
        self.path = path
        self.reason = reason
        self.advice = advice
        super().__init__(f"channel {channel!r} cannot read {path}: {reason}; {advice}")


class ChannelTimeout(ChannelError, TimeoutError):
    """The storage could not be accessed in time; nothing was changed."""

    def __init__(self, channel: str, what: str, seconds: float) -> None:
        self.channel = channel
        self.what = what
        self.seconds = seconds
        super().__init__(
            f"channel {channel!r} timed out after {seconds:g} s while trying to {what}; look for a "
            "stopped process that uses the same storage, then try again"
        )


class ChannelClosed(ChannelError, RuntimeError):
    """The channel was closed before, or while, the operation ran."""

    def __init__(self, channel: str) -> None:
        self.channel = channel
        super().__init__(f"channel {channel!r} is closed; open it again with open_channel")


class OutcomeUnknown(ChannelError, ConnectionError):
    """The server's reply was lost: the operation may or may not have happened."""

    def __init__(self, channel: str, operation: str, advice: str) -> None:
        self.channel = channel
        self.operation = operation
        self.advice = advice
        super().__init__(
            f"the reply to {operation} on channel {channel!r} was lost, so its outcome is unknown; "
            f"{advice}"
        )


class StaleFence(ChannelError, PermissionError):
    """A write was refused because the key was already written with a higher fence."""

    def __init__(self, channel: str, key: object, fence: int, mark: int) -> None:
        self.channel = channel
        self.key = key
        self.fence = fence
        self.mark = mark
        super().__init__(
            f"channel {channel!r} refused to write key {_short(key)} with fence {fence}: the "
            f"holder of a later lease (fence {mark}) has already written it; stop working, this "
            "lease has lost its lock"
        )


class LockBusy(ChannelError, TimeoutError):
    """Another holder has the lock.

    Attributes:
        holder: The holder info stored with the lease: host, pid, thread and more.
        remaining: Seconds until that lease expires, if it is not renewed.
        waited: Seconds spent waiting for the lock.
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
            f"{after}; the lease expires in {remaining:.3g} s unless renewed: try again later, "
            "pass a longer wait, or force-release the lock with force_unlock if that holder is "
            "known to be dead"
        )

    def summary(self) -> str:
        """Return "held by …" with the holder info, without advice."""
        return f"held by {describe_holder(self.holder)}"


class LockLost(ChannelError, RuntimeError):
    """A lease ended although its holder did not release it."""

    def __init__(self, channel: str, name: str, fence: int, reason: str) -> None:
        self.channel = channel
        self.name = name
        self.fence = fence
        self.reason = reason
        super().__init__(
            f"lost the lock {_short(name)} on channel {channel!r} (fence {fence}): {reason}; stop "
            "the work that it protects, then acquire the lock again"
        )


class JobError(ChannelError):
    """Root of the errors of the job manager and of job files."""


class UnknownJob(JobError, LookupError):
    """No job with that name is known."""

    def __init__(self, name: str, known: tuple[str, ...], hint: str | None = None) -> None:
        self.name = name
        self.known = known
        self.hint = hint
        listed = ", ".join(map(repr, known)) or "none"
        meant = f"did you mean {hint!r}? " if hint else ""
        super().__init__(f"unknown job {name!r}; {meant}known jobs: {listed}")


class RunNotStarted(JobError, RuntimeError):
    """The run to end was not started in this context, or has already ended."""

    def __init__(self, what: str, name: str | None) -> None:
        self.what = what
        self.name = name
        of = f" of {name!r}" if name else ""
        super().__init__(
            f"{what}: there is no open run{of} here; start a run first, and end it only once"
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
        where: The file, and the line if it is known.
        reason: The error text of the code, or of the program that runs it.
        advice: What to do; may be empty.
    """

    def __init__(self, where: str, reason: str, advice: str = "") -> None:
        self.where = where
        self.reason = reason
        self.advice = advice
        super().__init__(f"{where}: {reason}" + (f"; {advice}" if advice else ""))


class CodeFault(JobError, ValueError):
    """Code of a job cannot run; raised by a check before any job runs.

    Attributes:
        reason: What is wrong.
        line: The line, counted as in `ojobchannels.Code`.
        column: The column in that line of the code, counted from 1.
    """

    def __init__(self, reason: str, line: int, column: int = 1) -> None:
        self.reason = reason
        self.line = line
        self.column = column
        super().__init__(f"line {line}, column {column} of the code: {reason}; fix it there")


class FireTimeTaken(JobError, RuntimeError):
    """The fire time for which a run was to start is already claimed by another run.

    Attributes:
        fire_time: Milliseconds since 1970.
    """

    def __init__(self, name: str, fire_time: int) -> None:
        self.name = name
        self.fire_time = fire_time
        when = datetime.fromtimestamp(fire_time / 1000, UTC).isoformat(timespec="milliseconds")
        super().__init__(
            f"the run of job {name!r} for {when.replace('+00:00', 'Z')} was already claimed by "
            "another process; there is nothing to do"
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
        position = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        text = "; ".join(part for part in (self.message, self.hint) if part)
        return ": ".join(part for part in (position, self.path, text) if part)


class JobFileError(JobError, ValueError):
    """A job file, or a file that it includes, is not valid; no job was run."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.diagnostics = diagnostics
        super().__init__("\n".join(map(str, diagnostics)))


class InvalidJobArgs(JobError, ValueError):
    """Arguments of a job are missing, cannot be read, or refer to an unknown name."""

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
            f"cannot write the log file {path!r} ({reason}); make its folder writable, or set "
            "another folder in ojob.logToFile.logFolder"
        )


class RunsAlready(JobError, RuntimeError):
    """A job file with ``ojob.unique`` is already running on this host; no job was run.

    Attributes:
        pid: The process that runs it, which may be this process; None if it is not known yet.
    """

    def __init__(self, file: str, pid_file: str, pid: int | None) -> None:
        self.file = file
        self.pid_file = pid_file
        self.pid = pid
        runner, advice = "another process", "wait for it to end, or stop it"
        if pid == os.getpid():
            runner = "this process"
            advice = "call it after that run has ended, or set another `ojob.unique.pidFile`"
        elif pid:
            runner, advice = f"process {pid}", f"{advice} with `kill {pid}`"
        super().__init__(f"{file} is already running: {runner} holds {pid_file!r}; {advice}")


class JobMisuse(JobError, RuntimeError):
    """A job called a function that is not allowed at that point of its work."""

    def __init__(self, job: str, reason: str, advice: str) -> None:
        self.job = job
        self.reason = reason
        self.advice = advice
        super().__init__(f"job {job!r}: {reason}; {advice}")


def describe_holder(holder: dict[str, Any]) -> str:
    """Return a short description of the holder of a lock, made from its holder info."""
    if not holder:
        return "an unknown holder"
    if holder.keys() == {"next"}:
        return f"no process, but reserved for {holder['next']}"
    known = [
        f"{part} {holder[part]}" for part in ("host", "pid", "thread", "job") if part in holder
    ]
    return ", ".join(known) or _short(holder)


def shown(value: object, secret: bool = False) -> str:
    """Return the text by which a message quotes an option's value, with passwords hidden.

    Args:
        value: The value. In a URL, the user, the password and all fields named like a secret are
            replaced by ``***``.
        secret: Whether to hide the whole value, and name only its type.

    Example:
        >>> print(shown("redis://job:pa55@example.org/0"))
        'redis://***@example.org/0'
    """
    if secret:
        return f"a value of type {type(value).__name__}"
    text = repr(value)
    return _USER_OF_URL.sub(_without_user, _SECRET_FIELD.sub(r"\1***", text))


def _without_user(match: re.Match[str]) -> str:
    return f"{match[1] or match[0][0]}***@"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
