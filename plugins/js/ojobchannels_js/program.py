"""A block of JavaScript: checked with its file, run in a child process."""

import re
from typing import Any, Final

import quickjs

from ojobchannels import Code, CodeFailed, CodeFault, Host
from ojobchannels_js.engine import Engine
from ojobchannels_js.host_calls import HostCalls
from ojobchannels_js.throw_lines import with_throw_lines

_CHECK_SECONDS: Final = 10
_POSITION: Final = re.compile(r"<input>:(\d+):(\d+)")
_NAMED: Final = re.compile(r"(\w*(?:Error|Exception)): (.*)", re.DOTALL)
"""Matches an Error of JavaScript as text."""

_FORMS: Final = ("({body() {\n%s\n}})", "[function () {\n%s\n}]")
"""Code that closes the body and opens another one is not valid in both."""


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
    message = error.reason if isinstance(error, CodeFailed) else str(error)
    if is_thrown and (named := _NAMED.fullmatch(message)):
        name, message = named.groups()
    else:
        name = "Error" if is_thrown else type(error).__name__
    return {"name": name, "message": message, "text": str(error)}


def compile_script(code: Code) -> Script:
    """Check a block of JavaScript by compiling it, without running it.

    Raises:
        CodeFault: It is not JavaScript that is valid in a function.
    """
    text = code.text
    if code.is_value and _syntax_error(f"return ({text}\n)") is None:
        text = f"return ({text}\n)"
    if error := _syntax_error(text):
        message, line, column = error
        raise CodeFault(message, code.line + line - 1, column)
    with_lines = with_throw_lines(text, code.line)
    return Script(code, with_lines if _syntax_error(with_lines) is None else text)


def _syntax_error(text: str) -> tuple[str, int, int] | None:
    """Return the syntax error of a function's body: its message, line and column, or None."""
    context = quickjs.Context()
    context.set_time_limit(_CHECK_SECONDS)
    try:
        for form in _FORMS:
            context.eval(f"{form % text}; undefined")
    except quickjs.JSException as error:
        message = str(error).split("\n", 1)[0].removeprefix("SyntaxError: ")
        position = _POSITION.search(str(error))
        line, column = (int(position[1]) - 1, int(position[2])) if position else (1, 1)
        return message, max(line, 1), column
    except UnicodeError:
        return "it contains a lone surrogate", 1, 1
    return None
