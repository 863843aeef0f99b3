"""Command lines with rendered templates: the values become variables, so they cannot inject code.

The shell does not parse the value of a variable again. How the variable is written depends on the
quotes around it, so this module follows the quotes of a command line. If it misjudges them, a value
appears in the wrong form, but is still not executed.
"""

import re
from typing import Final, Literal, TypeAlias

from ojobchannels.ojob.args.templates import Rendered

_Context: TypeAlias = Literal["plain", "single", "double", "paren", "sum", "backtick", "comment"]

_VARIABLE: Final = "ojob_value_{}"
_FORMS: Final[dict[_Context, str]] = {"single": "'\"${{{}}}\"'", "double": "${{{}}}"}
_QUOTED: Final = '"${{{}}}"'
_SUBSTITUTION: Final = r"\\.|\$\(\(|\$\(|<<<|"
_TOKEN: Final = re.compile(
    _SUBSTITUTION
    + r"""<<-?[ \t]*(?P<delimiter>'[^'\n]*'|"[^"\n]*"|[^\s<>|&;()'"]+)|(?<![^\s;&|()])#|.""",
    re.DOTALL,
)
_TOKEN_IN_QUOTES: Final = re.compile(_SUBSTITUTION + "(?P<delimiter>(?!))|.", re.DOTALL)
_ENDS: Final[dict[_Context, str]] = {
    "single": "'",
    "comment": "\n",
    "double": '"',
    "paren": ")",
    "sum": ")",
    "backtick": "`",
}
_OPENINGS: Final[dict[str, tuple[_Context, ...]]] = {
    "$((": ("sum", "sum"),
    "$(": ("paren",),
    "`": ("backtick",),
    '"': ("double",),
}
_OPENINGS_OUTSIDE: Final[dict[str, tuple[_Context, ...]]] = {
    "'": ("single",),
    "#": ("comment",),
    "(": ("paren",),
}


class Unquotable(Exception):
    """A value is in a place where a command line cannot have a variable; the text is the place.

    Attributes:
        advice: What to do.
    """

    def __init__(self, place: str, advice: str) -> None:
        self.advice = advice
        super().__init__(place)


class CommandText:
    """A command line whose values are variables.

    Raises:
        Unquotable: A value is where the shell replaces no variables.

    Attributes:
        text: The command line.
        variables: The values, by the names of their variables.

    Example:
        >>> command = CommandText(Rendered(("ls ", "a; rm b")))
        >>> command.text, command.variables
        ('ls "${ojob_value_1}"', {'ojob_value_1': 'a; rm b'})
    """

    def __init__(self, rendered: Rendered) -> None:
        self.variables: dict[str, str] = {}
        self._around: list[_Context] = ["plain"]
        self._delimiters: list[str] = []  # of here-documents that begin at the next line
        self._document: str | None = None
        self._line = ""
        parts = []
        for number, piece in enumerate(rendered.pieces):
            if number % 2:
                parts.append(self._value(piece))
            else:
                self._follow(piece)
                parts.append(piece)
        self.text = "".join(parts)

    def _value(self, value: str) -> str:
        context = self._around[-1]
        if self._document is not None and self._document.startswith(("'", '"')):
            place = f"inside a here-document with a quoted delimiter ({self._document})"
            raise Unquotable(place, "remove the quotes of the delimiter")
        if context == "sum" and not re.fullmatch(r"-?[0-9]+", value):
            raise Unquotable("inside $((…)), whose value is not an integer", "pass an integer")
        name = _VARIABLE.format(len(self.variables) + 1)
        self.variables[name] = value
        self._line += "?"
        if self._document is not None or context == "sum":
            context = "double"
        return _FORMS.get(context, _QUOTED).format(name)

    def _follow(self, text: str) -> None:
        """Follow quotes, substitutions, comments and here-documents through a piece of text."""
        at = 0
        while at < len(text):
            context = self._around[-1]
            if self._document is not None:
                at = self._skip_line(text, at)
            elif context in ("single", "comment"):
                end = text.find(_ENDS[context], at)
                at = len(text) if end < 0 else end + (context == "single")
                if end >= 0:
                    self._around.pop()
            else:
                match = (_TOKEN_IN_QUOTES if context in ("double", "sum") else _TOKEN).match(
                    text, at
                )
                assert match is not None  # noqa: S101  it matches any character
                at = match.end()
                self._token(match.group(), match["delimiter"], context)

    def _skip_line(self, text: str, at: int) -> int:
        """Skip a line of a here-document, or its part before a value; may end the document."""
        end = text.find("\n", at)
        self._line += text[at : len(text) if end < 0 else end]
        if end < 0:
            return len(text)
        assert self._document is not None  # noqa: S101  only called inside a document
        if self._line.lstrip("\t") == self._document.strip("'\""):
            self._document = self._delimiters.pop(0) if self._delimiters else None
        self._line = ""
        return end + 1

    def _token(self, word: str, delimiter: str | None, context: _Context) -> None:
        if _ENDS.get(context) == word:
            self._around.pop()
        elif word == "(" and context == "sum":
            self._around.append("sum")
        elif opened := _OPENINGS.get(word):
            self._around += opened
        elif context in ("double", "sum"):
            return
        elif delimiter is not None:
            self._delimiters.append(delimiter)
        elif word == "\n" and self._delimiters:
            self._document, self._line = self._delimiters.pop(0), ""
        else:
            self._around += _OPENINGS_OUTSIDE.get(word, ())
