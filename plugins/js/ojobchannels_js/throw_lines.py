"""Make code record the line of each `throw`, and the value of each `catch`.

A thrown value that is not an Error has no line, and what the code has caught is not known outside.
"""

import re
from typing import Final

_TOKENS: Final = re.compile(
    r"""
    //[^\n]* | /\*.*?\*/                            # comments
    | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'     # strings
    | `(?:\\.|[^`\\])*`                             # templates
    | (?<=[(,=:\[!&|?{};\n])[ \t]*/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n])+/
    | (?P<throw>(?<![\w$.])throw(?=[ \t"'`({\[]))   # the statement
    | (?<![\w$.])catch\s*\(\s*(?P<caught>[A-Za-z_$][\w$]*)\s*\)\s*\{
    """,
    re.VERBOSE | re.DOTALL,
)


def with_throw_lines(text: str, first: int) -> str:
    """Return code that records the lines of its `throw` statements, and what its `catch` gets.

    Lines are counted from `first`. The recording is joined to a thrown expression by a comma, so
    that no line or statement moves.
    """
    parts: list[str] = []
    end = 0
    for token in _TOKENS.finditer(text):
        if token["throw"]:
            line = first + text.count("\n", 0, token.start())
            parts += (text[end : token.end()], f" __throwing({line}),")
            end = token.end()
        elif token["caught"]:
            parts += (text[end : token.end()], f" __caught({token['caught']});")
            end = token.end()
    return "".join([*parts, text[end:]])
