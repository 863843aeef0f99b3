"""A job of a file that runs again in this process, with the args of a past run."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ojobchannels.errors import InvalidJobArgs, JobMisuse
from ojobchannels.ojob.args.layers import Layer
from ojobchannels.ojob.run.job_call import JobCall
from ojobchannels.ojob.run.session import Session
from ojobchannels.ojob.run.todo import todo_calls


class RunAgain(NamedTuple):
    """A past run that an operator wants again.

    Attributes:
        name: The name of its runs.
        args: The args, over those of the file.
        record: Records the action, and returns what the new run record has of it.
    """

    name: str
    args: Mapping[str, Any]
    record: Callable[[], Mapping[str, Any]]


def run_again(session: Session, again: RunAgain) -> None:
    """Open the manager as the todo does, and run the job whose runs have that name, once.

    Raises:
        JobMisuse: No job of the file starts runs of that name.
    """
    todo = todo_calls(session)
    found = next((call for call in _calls(session, todo) if _run_name(call) == again.name), None)
    if found is None:
        reason = f"no job of {session.file.name} starts runs of that name"
        raise JobMisuse(again.name, reason, "pass the job file of that job")
    for call in todo:
        if call.job.name != found.job.name and session.file.opens_manager(call.job.name):
            session.progress.record(call.run())
    if session.binding.failure is None:
        call = JobCall(session, found.job, [*found.layers, Layer(again.args, False)])
        call.requested = dict(again.record())
        session.progress.record(call.run())


def _calls(session: Session, todo: list[JobCall]) -> Iterator[JobCall]:
    """Yield calls of all jobs of the file: those of the todo, then others, with their own args."""
    for call in todo:
        yield JobCall(session, call.job, call.layers)
    for job in session.file.jobs.values():
        if not job.bundled:
            yield JobCall(session, job, [session.command_line])


def _run_name(call: JobCall) -> str | None:
    try:
        managed = call.managed_run()
    except InvalidJobArgs:
        return None
    return managed[0] if managed else None
