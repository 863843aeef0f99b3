"""Functions that are called for each run of this process, whichever manager it has."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

RunObserver: TypeAlias = Callable[[Mapping[str, Any]], object]
"""Takes the record of a run at its start and at its end, in the thread that starts or ends it."""

_observers: tuple[RunObserver, ...] = ()
_log = logging.getLogger("ojobchannels.jobs")


def add_run_observer(observer: RunObserver) -> None:
    """Call `observer` with the record of each run at its start and at its end, from now on.

    Runs that do not begin are reported once, and runs that are found dead by the process that finds
    them. Errors of an observer are logged.
    """
    global _observers
    _observers = (*_observers, observer)


def remove_run_observer(observer: RunObserver) -> None:
    """Stop calling an observer."""
    global _observers
    _observers = tuple(known for known in _observers if known != observer)


def observe(record: Mapping[str, Any]) -> None:
    """Call the observers."""
    for observer in _observers:
        try:
            observer(record)
        except Exception:  # noqa: BLE001  an observer must not disturb the run that it observes
            _log.exception("an observer of job %r failed", record.get("name"))
