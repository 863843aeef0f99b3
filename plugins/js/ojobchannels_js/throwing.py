"""Has code note the line at which it throws: what is no Error brings none with it."""

from __future__ import annotations

import re
from typing import Final

_TOKENS: Final = re.compile(
    r"""
    //[^\n]* | /\*.*?\*/                            # comments
    | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'     # texts
    | `(?:\\.|[^`\\])*`                             # templates
    | (?<=[(,=:\[!&|?{};\n])[ \t]*/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n])+/
    | (?P<throw>(?<![\w$.])throw(?=[ \t"'`({\[]))   # the statement
    """,
    re.VERBOSE | re.DOTALL,
)


def with_lines(text: str, first: int) -> str:
    """Returns code whose `throw` statements note their lines, the first of which is given.

    A comma puts the note before what is thrown, so that no line or statement moves.
    """
    parts: list[str] = []
    end = 0
    for token in _TOKENS.finditer(text):
        if token["throw"]:
            line = first + text.count("\n", 0, token.start())
            parts += (text[end : token.end()], f" __throwing({line}),")
            end = token.end()
    return "".join([*parts, text[end:]])
