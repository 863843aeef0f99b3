"""Make code record the line of each `throw`: a thrown value that is not an Error has no line."""

import re
from typing import Final

_TOKENS: Final = re.compile(
    r"""
    //[^\n]* | /\*.*?\*/                            # comments
    | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'     # strings
    | `(?:\\.|[^`\\])*`                             # templates
    | (?<=[(,=:\[!&|?{};\n])[ \t]*/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n])+/
    | (?P<throw>(?<![\w$.])throw(?=[ \t"'`({\[]))   # the statement
    """,
    re.VERBOSE | re.DOTALL,
)


def with_throw_lines(text: str, first: int) -> str:
    """Return code whose `throw` statements record their lines, counted from `first`.

    The recording is joined to the thrown expression by a comma, so that no line or statement moves.
    """
    parts: list[str] = []
    end = 0
    for token in _TOKENS.finditer(text):
        if token["throw"]:
            line = first + text.count("\n", 0, token.start())
            parts += (text[end : token.end()], f" __throwing({line}),")
            end = token.end()
    return "".join([*parts, text[end:]])
