"""Checks alert rules, so that a mistake shows before a job fails and not afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from ojobchannels.alerts.notices import FIELDS
from ojobchannels.alerts.rules import DEFAULT_EVENTS, EVENTS, PORTS, Alert, Mail, Ping, Webhook
from ojobchannels.alerts.secret_text import has_reference, resolved, shown_url
from ojobchannels.alerts.templates import fields_in
from ojobchannels.documents import check_value
from ojobchannels.errors import InvalidOption, InvalidValue
from ojobchannels.host.synchronous import check_synchronous
from ojobchannels.suggestions import did_you_mean

_ADDRESS: Final = r"[^@\s]+@[^@\s]+"
_HEADER: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_KEPT: Final = ("content-length", "content-type", "host", "transfer-encoding")
_LONGEST_SECONDS: Final = 300
_EXTRA: Final = "ojobchannels[alerts]"


class RuleError(NamedTuple):
    """A mistake in a rule, and its path in it, by the names of attributes."""

    path: tuple[str | int, ...]
    message: str
    hint: str


def rule_errors(rule: Alert) -> Iterator[RuleError]:
    """Yield what is wrong with a rule."""
    match rule.target:
        case Webhook() as webhook:
            yield from _of_webhook(webhook)
        case Ping() as switch:
            yield from _of_ping(switch)
            if tuple(rule.on) != DEFAULT_EVENTS or rule.every:
                key = "every" if rule.every else "on"
                message = f"a ping is sent for every run, and takes no `{key}`"
                yield RuleError((key,), message, "remove it")
        case Mail() as mail:
            yield from _of_mail(mail)
    for at, event in enumerate(rule.on):
        if event not in EVENTS:
            hint = did_you_mean(str(event), EVENTS)
            yield RuleError(("on", at), f"unknown event {event!r}", hint)
    if not rule.on:
        yield RuleError(("on",), "no event is named", f"name some of {', '.join(EVENTS)}")
    if rule.every < 0:
        yield RuleError(("every",), f"{rule.every} is out of range", "write 1 or more")
    if rule.skipped_in_a_row < 1:
        message = f"{rule.skipped_in_a_row} is out of range"
        yield RuleError(("skipped_in_a_row",), message, "write 1 or more")


def check_rules(rules: Sequence[object]) -> None:
    """Check the rules of a manager.

    Raises:
        InvalidOption: Something is wrong with one of them, or a secret is missing.
    """
    seen: dict[str, int] = {}
    for at, rule in enumerate(rules):
        if not isinstance(rule, Alert):
            reason = f"alerts[{at}] is of type {type(rule).__name__}"
            raise InvalidOption("alerts", reason, "pass `ojobchannels.alerts.Alert` objects")
        for error in rule_errors(rule):
            path = ".".join(map(str, (f"alerts[{at}]", *error.path)))
            raise InvalidOption(path, error.message, error.hint)
        if seen.setdefault(rule.id, at) != at:
            reason = f"it is equal to alerts[{seen[rule.id]}], or has its name"
            raise InvalidOption(f"alerts[{at}]", reason, "remove one, or name it differently")
        if callable(rule.target):
            check_synchronous("alerts", rule.target)
        check_secrets(rule)


def check_secrets(rule: Alert) -> None:
    """Check that the variables and files exist to which a rule refers.

    Raises:
        InvalidOption: One of them is missing.
    """
    target, found = rule.target, list[Any]()
    if isinstance(target, Webhook):
        found = [target.url, *target.headers.values()]
    elif isinstance(target, Ping):
        found = [target.start, target.success, target.fail]
    elif isinstance(target, Mail):
        found = [target.user, target.password]
    for text in found:
        resolved(text or "")


def _of_webhook(webhook: Webhook) -> Iterator[RuleError]:
    yield from _of_http()
    yield from _of_url(("target", "url"), webhook.url)
    yield from _of_templates(("target", "body"), webhook.body)
    yield from _of_timeout(webhook.timeout)
    try:
        check_value(webhook.body)
    except InvalidValue as error:
        yield RuleError(
            (
                "target",
                "body",
            ),
            error.reason,
            "write a JSON document",
        )
    for name, value in webhook.headers.items():
        if not re.fullmatch(_HEADER, name) or name.lower() in _KEPT:
            yield RuleError(
                ("target", "headers", name), f"{name!r} cannot be set", "remove this header"
            )
        elif re.search(r"[\r\n\0]", value):
            yield RuleError(
                ("target", "headers", name), "the value has several lines", "write one line"
            )


def _of_ping(switch: Ping) -> Iterator[RuleError]:
    yield from _of_http()
    urls = {"start": switch.start, "success": switch.success, "fail": switch.fail}
    for name, url in urls.items():
        if url is not None:
            yield from _of_url(("target", name), url)
            yield from _of_templates(("target", name), url)
    if not any(urls.values()):
        yield RuleError(("target",), "a ping needs a URL", "write `success: https://…`")
    yield from _of_timeout(switch.timeout)


def _of_http() -> Iterator[RuleError]:
    if not find_spec("httpx"):
        hint = f"install it with: pip install '{_EXTRA}'"
        yield RuleError(("target",), "requests need the package httpx", hint)


def _of_mail(mail: Mail) -> Iterator[RuleError]:
    if not mail.to:
        yield RuleError(
            (
                "target",
                "to",
            ),
            "the mail has no recipient",
            "write an address",
        )
    for at, address in enumerate(mail.to):
        yield from _of_address(("target", "to", at), address)
    yield from _of_address(("target", "sender"), mail.sender)
    if not mail.host or re.search(r"[\s/@]", mail.host):
        yield RuleError(
            (
                "target",
                "host",
            ),
            f"{mail.host!r} is not a host",
            "write the name of a server",
        )
    if mail.port is not None and not 0 < mail.port < 65_536:
        yield RuleError(
            (
                "target",
                "port",
            ),
            f"{mail.port} is out of range",
            "write 1 to 65535",
        )
    if mail.security not in PORTS:
        hint = f"write {', '.join(PORTS)}"
        yield RuleError(
            (
                "target",
                "security",
            ),
            f"unknown security {mail.security!r}",
            hint,
        )
    if (mail.user is None) is not (mail.password is None):
        key = "password" if mail.user is None else "user"
        missing = "user" if mail.user is None else "password"
        yield RuleError(("target", key), f"`{missing}` is missing beside it", "write both or none")
    yield from _of_templates(("target", "subject"), mail.subject)
    yield from _of_templates(("target", "text"), mail.text)
    yield from _of_timeout(mail.timeout)


def _of_address(path: tuple[str | int, ...], address: str) -> Iterator[RuleError]:
    if not re.fullmatch(_ADDRESS, address):
        yield RuleError(path, f"{address!r} is not a mail address", "write user@example.org")


def _of_url(path: tuple[str | int, ...], url: str) -> Iterator[RuleError]:
    if has_reference(url):
        return
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or re.search(r"\s", url):
        hint = "write https://…, or `${env:NAME}` for a variable that has it"
        yield RuleError(path, f"{shown_url(url)} is not a URL of http or https", hint)


def _of_templates(path: tuple[str | int, ...], value: Any) -> Iterator[RuleError]:
    for name in fields_in(value):
        if name not in FIELDS:
            message = f"a notice has no field {name!r}"
            yield RuleError((*path, *_path_to(name, value)), message, did_you_mean(name, FIELDS))


def _path_to(name: str, value: Any) -> tuple[str | int, ...]:
    """Return the path of the first text in a document that uses a field."""
    parts: Any = ()
    if isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    for step, part in parts:
        if name in fields_in(part):
            return (step, *_path_to(name, part))
    return ()


def _of_timeout(seconds: float) -> Iterator[RuleError]:
    if not 0 < seconds <= _LONGEST_SECONDS:
        hint = f"write more than 0 and at most {_LONGEST_SECONDS} seconds"
        yield RuleError(
            (
                "target",
                "timeout",
            ),
            f"{seconds:g} s is out of range",
            hint,
        )
