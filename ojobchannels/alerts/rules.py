"""Alert rules: which events of which jobs are reported, and where."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from ojobchannels.documents import encode

Event: TypeAlias = Literal[
    "failed", "abandoned", "lost", "overdue", "daemon-gone", "skipped", "recovered"
]
Security: TypeAlias = Literal["starttls", "tls", "none"]
Notice: TypeAlias = dict[str, Any]
"""The document of one event; see `ojobchannels.alerts.notices.FIELDS`."""

EVENTS: Final[tuple[Event, ...]] = get_args(Event)
DEFAULT_EVENTS: Final[tuple[Event, ...]] = tuple(name for name in EVENTS if name != "skipped")
PORTS: Final[Mapping[Security, int]] = {"starttls": 587, "tls": 465, "none": 25}


@dataclass(frozen=True, slots=True)
class Webhook:
    """A request with a JSON body to a URL.

    In all texts, ``${env:NAME}`` is an environment variable and ``${file:PATH}`` the text of a
    file; both are read for each request.

    Attributes:
        url: The URL, which is treated as a secret.
        body: The JSON document; ``{{field}}`` in its texts is a field of the notice. By default,
            it is the notice.
        headers: More headers; their values are treated as secrets.
        timeout: Seconds for one attempt.
    """

    url: str = field(repr=False)
    body: Any = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 10


@dataclass(frozen=True, slots=True)
class Ping:
    """Requests to a dead man's switch, which alarms when they stay away.

    Every run of the jobs requests `start` at its start, and at its end `success` or `fail`. In the
    URLs, ``{{field}}`` is a field of the notice, and ``${env:NAME}`` and ``${file:PATH}`` are as
    for `Webhook`.
    """

    success: str | None = field(default=None, repr=False)
    start: str | None = field(default=None, repr=False)
    fail: str | None = field(default=None, repr=False)
    timeout: float = 10


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail by SMTP.

    Attributes:
        to: The addresses of the recipients.
        sender: The address of the sender.
        host: The SMTP server.
        port: By default that of `security`: 587, 465 or 25.
        security: ``starttls`` upgrades the connection to TLS and sends nothing without; ``tls``
            begins with TLS; ``none`` is for a server on the same host.
        user: The user, if the server needs a login.
        password: Its password; ``${env:NAME}`` and ``${file:PATH}`` are as for `Webhook`.
        subject: The subject, in which ``{{field}}`` is a field of the notice.
        text: The text, likewise. By default, it lists the fields of the notice.
        timeout: Seconds for one attempt.
    """

    to: Sequence[str]
    sender: str
    host: str
    port: int | None = None
    security: Security = "starttls"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    subject: str = "{{message}}"
    text: str | None = None
    timeout: float = 10


Target: TypeAlias = Webhook | Mail | Ping | str | Callable[[Notice], object]
"""Where a notice goes: a job is named by a string, and gets it as the arg ``notice``."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule: the events of some jobs, and their target.

    All processes that share the records and have an equal rule send each notice once. The rules are
    equal if their names are or, without a name, if everything in them is.

    Attributes:
        target: A `Webhook`, `Mail` or `Ping`, the name of a job, or a function of the notice.
        on: The events; by default all but ``skipped``. A `Ping` takes none.
        jobs: Names of jobs, or patterns such as ``nightly-*``; by default all jobs of the records.
        every: Of the failures in a row, report the first and every n-th; 0 for the first only.
        skipped_in_a_row: Report ``skipped`` after this number of runs that were skipped in a row.
        name: A name that identifies the rule when its target changes.
    """

    target: Target
    on: Sequence[Event] = DEFAULT_EVENTS
    jobs: Sequence[str] = ()
    every: int = 0
    skipped_in_a_row: int = 3
    name: str | None = None

    @property
    def id(self) -> str:
        """The identifier of the rule, which does not reveal its secrets."""
        known = self.name or encode(_document(self))
        return hashlib.sha256(known.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def label(self) -> str:
        """The rule in messages, without secrets."""
        kind = f"job {self.target!r}" if isinstance(self.target, str) else _kind(self.target)
        return f"alert {self.name!r} ({kind})" if self.name else f"alert by {kind}"

    def concerns(self, job: str) -> bool:
        """Return whether the rule is about a job; never about the job that it runs itself."""
        if job == self.target:
            return False
        if not self.jobs or job in self.jobs:
            return True
        return any(fnmatch.fnmatchcase(job, pattern) for pattern in self.jobs)

    def concerns_daemon(self, jobs: Sequence[str]) -> bool:
        """Return whether the rule is about a daemon that runs these jobs."""
        return not self.jobs or any(self.concerns(job) for job in jobs)


def _kind(target: object) -> str:
    return type(target).__name__.lower() if is_dataclass(target) else _function(target)


def _function(target: object) -> str:
    known = getattr(target, "__module__", ""), getattr(target, "__qualname__", type(target))
    return f"function {known[0]}.{known[1]}"


def _document(part: Any) -> Any:
    """Return a rule as JSON."""
    if is_dataclass(part):
        named = {each.name: getattr(part, each.name) for each in fields(part)}
        return {"": type(part).__name__} | {key: _document(value) for key, value in named.items()}
    if isinstance(part, Mapping):
        return {str(key): _document(value) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [_document(value) for value in part]
    if isinstance(part, float) and part.is_integer():
        return int(part)  # as a job file and a program may write it
    return _function(part) if callable(part) else part
