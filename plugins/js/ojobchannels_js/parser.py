"""The program that parses JavaScript in a child process, with limits; it executes none of it.

It reads a JSON list of function bodies from standard input, and writes a list with the error of
each, or null. Each body is parsed as a part of a script whose first statement throws: a text that
closes the function around it is parsed too, but is not reached.
"""

import json
import re
import resource
import sys
from typing import Any, Final

MEMORY_BYTES: Final = 512 << 20
CPU_SECONDS: Final = 10
_PARSED: Final = "parsed"
_FORMS: Final = ("({body() {\n%s\n}})", "[function () {\n%s\n}]", "function body() {\n%s\n}")
"""Code that closes the body and opens another one is not valid in all of them."""

_POSITION: Final = re.compile(r"<input>:(\d+):(\d+)")


def main() -> None:
    """Parse the bodies on standard input."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_DATA, (2 * MEMORY_BYTES, 2 * MEMORY_BYTES))
    errors = [_error_of(text) for text in json.load(sys.stdin)]
    json.dump(errors, sys.stdout)


def _error_of(text: str) -> tuple[str, int, int] | None:
    """Return the error of a function's body: its message, line and column, or None."""
    for form in _FORMS:
        error = _thrown(f'throw "{_PARSED}"; {form % text}')
        if error.partition("\n")[0] != _PARSED:
            message = error.split("\n", 1)[0].removeprefix("SyntaxError: ")
            position = _POSITION.search(error)
            line, column = (int(position[1]) - 1, int(position[2])) if position else (1, 1)
            return message, max(line, 1), column
    return None


def _thrown(script: str) -> str:
    import quickjs

    context: Any = quickjs.Context()
    context.set_memory_limit(MEMORY_BYTES)
    try:
        context.eval(script)
    except quickjs.JSException as error:
        return str(error)
    except UnicodeError:
        return "it contains a lone surrogate"
    return "it ends the script around it"  # never: the script begins with a `throw`


if __name__ == "__main__":
    main()
