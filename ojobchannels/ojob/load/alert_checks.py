"""Checks the alerts of a job file."""

from collections.abc import Iterator
from typing import Final

from ojobchannels.alerts.check import check_secrets, rule_errors
from ojobchannels.errors import Diagnostic, InvalidOption
from ojobchannels.ojob.load.job_file import START
from ojobchannels.ojob.load.references import unknown_job
from ojobchannels.ojob.load.specs import Specs
from ojobchannels.ojob.schema.base import key_of
from ojobchannels.ojob.schema.located import FileSpecs
from ojobchannels.ojob.yaml.source import DocumentPath

_KEYS: Final = {"sender": "from"}


def check_alerts(specs: Specs) -> Iterator[Diagnostic]:
    """Yield what is wrong with alerts."""
    for file in specs.files:
        seen: dict[str, int] = {}
        for at, alert in enumerate(file.spec.ojob.alerts):
            rule = alert.rule()
            for path, message, hint in rule_errors(rule):
                steps = (at, *_in_the_file(path, alert.target_key))
                yield _found(file, steps, message, hint)
            if seen.setdefault(rule.id, at) != at:
                message = "an earlier alert has the same name, or is equal"
                yield _found(file, (at,), message, "remove one, or name it differently")
            if alert.job is not None and alert.job not in specs.by_name:
                yield _found(file, (at, "job"), *unknown_job(alert.job, file.source, specs))
        if file.spec.ojob.alerts and START not in specs.by_name:
            message = "alerts are about managed jobs, but this file has none"
            hint = "add `oJobManager.yaml` to `include`, and manage the jobs"
            yield _found(file, (), message, hint)


def check_alert_secrets(specs: Specs) -> Iterator[Diagnostic]:
    """Yield the variables and files that alerts refer to and this process does not have."""
    for file in specs.files:
        for at, alert in enumerate(file.spec.ojob.alerts):
            try:
                check_secrets(alert.rule())
            except InvalidOption as error:
                steps = ("alerts", at, alert.target_key)
                yield file.settings.diagnostic(steps, error.reason, error.advice, at_key=True)


def _in_the_file(path: tuple[str | int, ...], target: str) -> DocumentPath:
    """Return the path in an alert of the file, from that in its rule."""
    if path[0] != "target":
        return (key_of(str(path[0])), *path[1:])
    first = path[1:2] and (_KEYS.get(str(path[1]), str(path[1])),)
    return (target, *first, *path[2:])


def _found(file: FileSpecs, steps: DocumentPath, message: str, hint: str) -> Diagnostic:
    settings = file.settings
    path = ("alerts", *steps)
    while path and (*settings.path, *path) not in file.source.positions:
        path = path[:-1]  # one name instead of a list, or a key that is not written
    return settings.diagnostic(path, message, hint)
