"""One attempt to deliver a notice, in a bounded time, whatever its receiver does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

from ojobchannels.alerts import http
from ojobchannels.alerts.rules import Alert, Mail, Notice, Ping, Webhook
from ojobchannels.alerts.secret_text import described
from ojobchannels.errors import AlertNotSent
from ojobchannels.host.wakeup import Latch

DELIVERY_FIELDS: Final = ("attempts", "notBefore", "isRefused")
"""What the memory of a rule knows of the attempts to deliver a notice; no receiver gets it."""

LONGEST_JOB_SECONDS: Final = 3600.0
_SLACK_SECONDS: Final = 5.0


class Launch(Protocol):
    """A launched job."""

    @property
    def state(self) -> str:
        """How it ended."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end, and return whether it has ended."""


Launcher = Callable[[str, Notice], Launch]
"""Launches a job with a notice."""


class Delivery:
    """Delivers the notices of one rule, one at a time.

    A library may wait longer than its timeout says: for a name server, or for a receiver that sends
    one byte now and then. So an attempt is a thread of its own, which is left alone after its
    timeout; there is no further attempt before it has ended.
    """

    def __init__(self, rule: Alert, launch: Launcher) -> None:
        self._rule = rule
        self._launch = launch
        self._attempt: Latch | None = None

    @property
    def longest(self) -> float:
        """The most seconds that an attempt takes."""
        target = self._rule.target
        if isinstance(target, Webhook | Mail | Ping):
            return target.timeout + _SLACK_SECONDS
        return LONGEST_JOB_SECONDS

    def attempt(self, notice: Notice) -> None:
        """Deliver a notice.

        Raises:
            AlertNotSent: It was not accepted, or not in time.
        """
        if self._attempt is not None and not self._attempt.is_set():
            raise AlertNotSent(self._rule.label, "the receiver has not answered the last attempt")
        ended = self._attempt = Latch()
        failure: list[BaseException] = []

        def run() -> None:
            try:
                self._deliver(notice)
            except BaseException as error:  # noqa: BLE001  it is raised below
                failure.append(error)
            finally:
                ended.set()

        threading.Thread(target=run, name="ojobchannels-alert-attempt", daemon=True).start()
        if not ended.wait(self.longest):
            raise AlertNotSent(self._rule.label, f"no response within {self.longest:g} s")
        for error in failure:
            if isinstance(error, AlertNotSent):
                raise error
            raise AlertNotSent(self._rule.label, described(error, ()), is_refused=True) from error

    def _deliver(self, notice: Notice) -> None:
        content: dict[str, Any] = {
            name: value for name, value in notice.items() if name not in DELIVERY_FIELDS
        }
        match self._rule.target:
            case Webhook() as webhook:
                http.post(webhook, content)
            case Ping() as switch:
                http.ping(switch, content)
            case Mail() as one:
                from ojobchannels.alerts import mail  # with `ssl` and `email`: 20 ms

                mail.send(one, content)
            case str(job):
                launch = self._launch(job, content)
                launch.wait()
                if launch.state != "completed":
                    reason = f"the job has ended ({launch.state})"
                    raise AlertNotSent(self._rule.label, reason, is_refused=True)
            case function:
                function(content)
