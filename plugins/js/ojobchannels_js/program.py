"""A block of JavaScript: checked when its file is, run in a child process."""

from __future__ import annotations

import re
from typing import Any, Final

import quickjs

from ojobchannels import Code, CodeFailed, CodeFault, Host
from ojobchannels_js.engine import Engine
from ojobchannels_js.serving import Service
from ojobchannels_js.throwing import with_lines

_SECONDS_TO_CHECK: Final = 10
_PLACE: Final = re.compile(r"<input>:(\d+):(\d+)")
_FORMS: Final = ("({body() {\n%s\n}})", "[function () {\n%s\n}]")
"""Code that closes the body and opens another one cannot stand in both."""


class Script:
    """A block of JavaScript, ready to run."""

    def __init__(self, code: Code, text: str) -> None:
        self._code = code
        self._text = text

    def run(self, host: Host) -> Any:
        """Runs it; what it changes in `args` is changed in those of the job.

        Raises:
            CodeFailed: It threw something, or the engine failed.
            JobTimeout: It was ended by its timeout.
        """
        service = Service(host)
        with Engine(host) as engine:
            engine.send(
                {
                    "text": self._text,
                    "line": self._code.line,
                    "args": host.documents(),
                    "job": host.job,
                    "error": None if host.error is None else str(host.error),
                }
            )
            while (message := engine.receive()) is not None:
                if "call" not in message:
                    break
                engine.send(service.answer(message["call"], message["with"]))
            ending = None if message is not None else engine.ending()
        if message is None:
            reason = f"the engine ended before the code did: {ending}"
            raise CodeFailed(self._where(self._code.line), reason, "mend the code, or report it")
        if "threw" in message:
            raise self._failure(message["threw"], service)
        for name in message["removed"]:
            host.args.pop(name, None)
        host.args.update(message["changed"])
        return message.get("answer")

    def _failure(self, threw: dict[str, Any], service: Service) -> CodeFailed:
        error = CodeFailed(self._where(threw["line"] or self._code.line), threw["text"])
        error.__cause__ = service.raised_as(threw["raised"])
        return error

    def _where(self, line: int) -> str:
        return f"{self._code.file}:{line}"


def compile_script(code: Code) -> Script:
    """Checks a block of JavaScript; it is compiled, and not run.

    Raises:
        CodeFault: It is no JavaScript that can stand in a function.
    """
    text = code.text
    if code.is_value and _fault(f"return ({text}\n)") is None:
        text = f"return ({text}\n)"
    if fault := _fault(text):
        said, line, column = fault
        raise CodeFault(said, code.line + line - 1, column)
    told = with_lines(text, code.line)
    return Script(code, told if _fault(told) is None else text)


def _fault(text: str) -> tuple[str, int, int] | None:
    """What is wrong with the body of a function, and where."""
    context = quickjs.Context()
    context.set_time_limit(_SECONDS_TO_CHECK)
    try:
        for form in _FORMS:
            context.eval(f"{form % text}; undefined")
    except quickjs.JSException as error:
        said = str(error).split("\n", 1)[0].removeprefix("SyntaxError: ")
        place = _PLACE.search(str(error))
        line, column = (int(place[1]) - 1, int(place[2])) if place else (1, 1)
        return said, max(line, 1), column
    except UnicodeError:
        return "it contains a lone surrogate", 1, 1
    return None
