"""The run that a command line names: by its identifier, or as the latest one of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from ojobchannels.cli.errors import CommandError
from ojobchannels.cli.names import complete_job

if TYPE_CHECKING:
    from ojobchannels.manager import JobManager

run_argument = click.argument("run", metavar="JOB|RUN", shell_complete=complete_job)

_SKIPPED: Final = ("skipped", "depsfail")
_LOOKED_AT: Final = 200


def find_run(manager: JobManager, name: str) -> dict[str, Any]:
    """Return the record of a run.

    Args:
        manager: The manager that has it.
        name: The identifier of the run, its first characters, or the name of a job: then its latest
            run, and rather one that began than one that was skipped.

    Raises:
        CommandError: No such run exists.
        WrongRun: Several runs begin with these characters.
    """
    runs = manager.runs(name, limit=_LOOKED_AT)
    if runs:
        return next((run for run in runs if run["status"] not in _SKIPPED), runs[0])
    record = manager.record(name)
    if record is None:
        raise CommandError(_unknown(manager, name))
    return record


def find_running(manager: JobManager, run_id: str) -> dict[str, Any] | None:
    """Return the record of the running run whose identifier begins so, if there is one.

    Raises:
        WrongRun: Several running runs begin with these characters.
    """
    from ojobchannels.manager.overview.lookup import find_running as found

    return found(manager, run_id)


def _unknown(manager: JobManager, name: str) -> str:
    from ojobchannels.suggestions import did_you_mean

    known = sorted({record["name"] for record in manager.runs(limit=None)})
    hint = did_you_mean(name, known) or "`ojob history --wide` shows the runs"
    return f"there is no run or job {name!r}; {hint}"
