"""A block of JavaScript: checked with its file, run in a child process."""

import json
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from ojobchannels import Code, CodeFailed, CodeFault, Host
from ojobchannels.errors import safe_str
from ojobchannels_js.engine import Engine
from ojobchannels_js.host_calls import HostCalls
from ojobchannels_js.throw_lines import with_throw_lines

_SyntaxError: TypeAlias = tuple[str, int, int]
"""A message, a line and a column."""

_CHECK_SECONDS: Final = 30
_PARSER: Final = Path(__file__).with_name("parser.py")
_NAMED: Final = re.compile(r"(\w*(?:Error|Exception)): (.*)", re.DOTALL)
"""Matches an Error of JavaScript as text."""


class Script:
    """A block of JavaScript, ready to run."""

    def __init__(self, code: Code, text: str) -> None:
        self._code = code
        self._text = text

    def run(self, host: Host) -> Any:
        """Run it, and apply its changes of `args` to those of the job.

        Raises:
            CodeFailed: It threw something, or the engine failed.
            JobTimeout: It ran longer than its timeout.
        """
        with HostCalls(host) as calls, Engine(host) as engine:
            engine.send(
                {
                    "text": self._text,
                    "line": self._code.line,
                    "args": host.documents(),
                    "job": host.job,
                    "error": _described(host.error),
                }
            )
            while (message := engine.receive()) is not None:
                if "call" not in message:
                    break
                engine.send(calls.reply(message["call"], message["with"]))
            ending = None if message is not None else engine.ending()
        if message is None:
            reason = f"the engine ended before the code: {ending}"
            raise CodeFailed(
                self._where(self._code.line), reason, "correct the code, or report a bug"
            )
        if "threw" in message:
            raise self._failure(message["threw"], calls)
        for name in message["removed"]:
            host.args.pop(name, None)
        host.args.update(message["changed"])
        return message.get("result")

    def _failure(self, threw: dict[str, Any], calls: HostCalls) -> CodeFailed:
        error = CodeFailed(self._where(threw["line"] or self._code.line), threw["text"])
        error.__cause__ = calls.raised(threw["raised"])
        return error

    def _where(self, line: int) -> str:
        return f"{self._code.file}:{line}"


def _described(error: BaseException | None) -> dict[str, str] | None:
    """Return an error by its name, its message, and its whole text."""
    if error is None:
        return None
    is_thrown = isinstance(error, CodeFailed)
    message = error.reason if isinstance(error, CodeFailed) else safe_str(error)
    if is_thrown and (named := _NAMED.fullmatch(message)):
        name, message = named.groups()
    else:
        name = "Error" if is_thrown else type(error).__name__
    return {"name": name, "message": message, "text": safe_str(error)}


def compile_script(code: Code) -> Script:
    """Check a block of JavaScript by parsing it, without running it.

    Raises:
        CodeFault: It is not JavaScript that is valid in a function.
    """
    text, value = code.text, f"return ({code.text}\n)"
    bodies = [text, with_throw_lines(text, code.line)]
    if code.is_value:
        bodies += [value, with_throw_lines(value, code.line)]
    errors = dict(zip(bodies, _syntax_errors(tuple(bodies), code.line), strict=True))
    if code.is_value and errors[value] is None:
        text = value
    if error := errors[text]:
        message, line, column = error
        raise CodeFault(message, code.line + line - 1, column)
    with_lines = with_throw_lines(text, code.line)
    return Script(code, with_lines if errors[with_lines] is None else text)


@lru_cache(256)
def _syntax_errors(bodies: tuple[str, ...], line: int) -> list[_SyntaxError | None]:
    """Parse function bodies in a child process, and return the error of each, or None.

    Raises:
        CodeFault: The engine failed.
    """
    try:
        done = subprocess.run(  # noqa: S603  our own program
            [sys.executable, "-P", str(_PARSER)],
            input=json.dumps(bodies).encode(),
            capture_output=True,
            timeout=_CHECK_SECONDS,
            check=True,
        )
    except subprocess.SubprocessError as error:
        raise CodeFault(f"the engine failed to parse it ({error})", line) from None
    errors: list[_SyntaxError | None] = json.loads(done.stdout)
    return errors
