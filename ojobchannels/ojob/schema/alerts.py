"""The alerts of a job file, below `ojob.alerts`."""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ojobchannels.alerts.rules import (
    DEFAULT_EVENTS,
    Alert,
    Event,
    Mail,
    Ping,
    Security,
    Target,
    Webhook,
)
from ojobchannels.ojob.schema.base import Expected, Milliseconds, Names, Spec, Text, as_list

_TIMEOUT: Final = 10_000
TARGETS: Final = ("webhook", "ping", "mail", "job")

Count = Annotated[int, Field(strict=True, ge=1), Expected(hint="write 1 or more")]
Port = Annotated[int, Field(strict=True, ge=1, le=65_535), Expected(hint="write 1 to 65535")]
Headers = Annotated[dict[Text, Text], Expected(hint="write `name: value` below it")]
Events = Annotated[
    list[Event],
    BeforeValidator(as_list, json_schema_input_type=Event | list[Event]),
    Expected("an event or a list of events", f"write some of {', '.join(DEFAULT_EVENTS)}, skipped"),
]


class WebhookSpec(Spec):
    """A request with a JSON body."""

    url: Text
    """The URL, which is a secret: messages show its host only. `${env:NAME}` is an environment
    variable, `${file:PATH}` the text of a file."""
    body: Any = None
    """The JSON document to post, with [fields](#fields-of-a-notice) as `{{field}}`. By default, it
    is the notice."""
    headers: Headers = Field(default={})
    """More headers. Their values are secrets, too, and take `${env:NAME}` and `${file:PATH}`."""
    timeout: Milliseconds = _TIMEOUT
    """The maximum time for one attempt, in milliseconds."""


class PingSpec(Spec):
    """Requests to a dead man's switch, for every run."""

    success: Text | None = None
    """The URL to request when a run has completed; it takes the same as `webhook.url`, and
    `{{runId}}` and the other fields."""
    start: Text | None = None
    """The URL to request when a run has started."""
    fail: Text | None = None
    """The URL to request when a run has failed, was lost, or was found abandoned."""
    timeout: Milliseconds = _TIMEOUT
    """The maximum time for one attempt, in milliseconds."""


class MailSpec(Spec):
    """A mail by SMTP."""

    to: Names
    """The address of the recipient, or a list."""
    from_: Text
    """The address of the sender."""
    host: Text
    """The SMTP server."""
    port: Port | None = None
    """Its port. By default, that of `security`: 587, 465 or 25."""
    security: Security = "starttls"
    """`starttls` upgrades the connection to TLS and sends nothing without it, `tls` begins with
    TLS, `none` is for a server on the same host."""
    user: Text | None = None
    """The user, if the server needs a login; it takes `${env:NAME}` and `${file:PATH}`."""
    password: Text | None = None
    """The password of the user, likewise."""
    subject: Text = "{{message}}"
    """The subject, with fields as `{{field}}`."""
    text: Text | None = None
    """The text, likewise. By default, it lists the fields of the notice."""
    timeout: Milliseconds = _TIMEOUT
    """The maximum time for one attempt, in milliseconds."""


class AlertSpec(Spec):
    """The report of some events of some jobs to one target."""

    webhook: WebhookSpec | None = None
    """Send the notice to a URL; [keys](#ojob-alerts-webhook)."""
    mail: MailSpec | None = None
    """Send the notice by mail; [keys](#ojob-alerts-mail)."""
    ping: PingSpec | None = None
    """Request URLs of a dead man's switch, for every run; [keys](#ojob-alerts-ping)."""
    job: Text | None = None
    """Launch a job of the file, with the notice as its arg `notice`. Its own runs are not
    reported."""
    on: Events = Field(default=list(DEFAULT_EVENTS))
    """The [events](#alerts), one or a list."""
    jobs: Names = Field(default=[])
    """The names of the managed runs that are meant, or patterns such as `nightly-*`. By default,
    all jobs whose runs are in the same channel of records, also those of other files."""
    every: Count | None = None
    """Report every n-th failure in a row, too. By default, only the first is reported."""
    skipped_in_a_row: Count = 3
    """Report `skipped` after N runs in a row that were skipped."""
    name: Text | None = None
    """A name for the alert, by which other processes know it when its other keys change."""

    @model_validator(mode="after")
    def _one_target(self) -> "AlertSpec":
        targets = [key for key in TARGETS if getattr(self, key) is not None]
        if len(targets) != 1:
            wanted = "`webhook`, `mail`, `ping` or `job`"
            found = " and ".join(f"`{key}`" for key in targets) or "none"
            reason = f"an alert has one of {wanted}, found {found}"
            hint = "write one alert for each" if targets else "write one of them"
            raise PydanticCustomError(
                "targets", "{reason}; {hint}", {"reason": reason, "hint": hint}
            )
        return self

    @property
    def target_key(self) -> str:
        """The key of its target."""
        return next(key for key in TARGETS if getattr(self, key) is not None)

    def rule(self) -> Alert:
        """Return the rule."""
        on = self.on
        if not self.has("on") and self.has("skipped_in_a_row"):
            on = [*on, "skipped"]
        return Alert(
            self._target(),
            on=tuple(on),
            jobs=tuple(self.jobs),
            every=self.every or 0,
            skipped_in_a_row=self.skipped_in_a_row,
            name=self.name,
        )

    def _target(self) -> Target:
        if (hook := self.webhook) is not None:
            return Webhook(hook.url, hook.body, hook.headers, hook.timeout / 1000)
        if (ping := self.ping) is not None:
            return Ping(ping.success, ping.start, ping.fail, ping.timeout / 1000)
        if (mail := self.mail) is not None:
            return Mail(
                tuple(mail.to),
                mail.from_,
                mail.host,
                mail.port,
                mail.security,
                mail.user,
                mail.password,
                mail.subject,
                mail.text,
                mail.timeout / 1000,
            )
        return self.job or ""
