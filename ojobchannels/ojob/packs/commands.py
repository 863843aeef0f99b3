"""``oJob sh``: runs commands of the shell, one after another."""

import os
from typing import Any

from ojobchannels.errors import InvalidJobArgs, JobError, JobTimeout
from ojobchannels.ojob.args.pack_args import PackArgs
from ojobchannels.ojob.args.pack_jobs import BASICS
from ojobchannels.ojob.args.templates import Rendered
from ojobchannels.ojob.code.shell import ShellRun
from ojobchannels.ojob.languages import Level
from ojobchannels.ojob.packs.command_text import CommandText, Unquotable
from ojobchannels.ojob.process.children import Command, Stream, shown
from ojobchannels.ojob.run.job_context import JobContext
from ojobchannels.ojob.run.job_host import JobHost
from ojobchannels.ojob.run.started_runs import Limit


def run_commands(context: JobContext, args: dict[str, Any]) -> None:
    """Run the commands of an `oJob sh`.

    Raises:
        CodeFailed: One ended with another exit status than `exitcode`.
        JobTimeout: One ran longer than `timeout`, or than the job may.
        InvalidJobArgs: An arg has a wrong value.
    """
    pack_args = PackArgs(context.caller, args, BASICS)
    commands = pack_args.required("cmd")
    timeout = pack_args.milliseconds("timeout", None)
    success = pack_args.number("exitcode", 0)
    host = JobHost(context, context.job)
    output = _Output(context, args, quiet=pack_args.flag("quiet", default=False))
    try:
        for number, text in enumerate(commands if isinstance(commands, list) else [commands], 1):
            where = f"job {context.caller!r}, `cmd`" + (f", command {number}" * (number > 1))
            line, variables = _with_variables(text, where)
            command = Command(
                stdin=str(args.get("stdin") or "").encode("utf-8", "surrogateescape"),
                environment={**os.environ, **variables},
                folder=args.get("directory"),
                descriptors=host.descriptors(),
            )
            shell = ShellRun(where, output.line)
            status = shell.run(line, command, _CommandLimit(host, timeout))
            if status != success:
                raise shell.failure(status)
    finally:
        output.store()


def _with_variables(text: object, where: str) -> tuple[str, dict[str, str]]:
    """Return a command line, and the variables for the values that templates have put into it.

    Raises:
        InvalidJobArgs: A value cannot be a variable.
    """
    if not isinstance(text, Rendered):
        return str(text), {}
    try:
        command = CommandText(text)
    except Unquotable as error:
        raise InvalidJobArgs(where, f"it has a template {error}", error.advice) from None
    if any("\0" in value for value in command.variables.values()):
        raise InvalidJobArgs(where, "the value of a template contains NUL", "pass it in a file")
    return command.text, command.variables


class _CommandLimit:
    """Ends a command after its own timeout, or when its job must end, whichever is first."""

    def __init__(self, host: JobHost, timeout: float | None) -> None:
        self._host = host
        self._own = None if timeout is None else Limit.of(timeout, "fail")

    def remaining(self) -> float | None:
        """Return the seconds after which it must be ended; None for no limit."""
        limits = [self._host.remaining(), self._own and self._own.remaining()]
        return min((limit for limit in limits if limit is not None), default=None)

    def overdue(self) -> JobError:
        """Return the error to raise when it was ended."""
        if self._own is not None and self._own.remaining() == 0:
            return JobTimeout(self._host.job, self._own.seconds)
        return self._host.overdue()


class _Output:
    """The output of commands: logged line by line, or with `quiet` stored in the args."""

    def __init__(self, context: JobContext, args: dict[str, Any], *, quiet: bool) -> None:
        self._context = context
        self._args = args
        self._quiet = quiet
        self._prefix = str(args.get("prefix") or "")
        self._kept: dict[Stream, list[str]] = {"out": [], "err": []}

    def line(self, stream: Stream, line: str) -> None:
        """Log or keep a line."""
        if self._quiet:
            self._kept[stream].append(line)
            return
        level: Level = "info" if stream == "out" else "warn"
        self._context.log(level, self._prefix + shown(line))

    def store(self) -> None:
        """Store the lines that were kept."""
        if self._quiet:
            self._args["stdout"], self._args["stderr"] = map("".join, self._kept.values())
