"""Why a text is not YAML or JSON: hints for frequent mistakes, else the parser's own words."""

import json
import re
from typing import Any, Final, NamedTuple

QUOTE_TEMPLATES: Final = 'quote a string that contains a template: "{{name}}"'
_MAX_KEY: Final = 1024
_OTHER_VERSION: Final = re.compile(
    r"(?:[ \t]*(?:#.*)?\n)*(%YAML(?![ \t]+1\.2[ \t]*(?:#.*)?$).*)", re.M
)
_LOOK_AROUND: Final = "check the indentation and the quotes here and in the lines above"


class InvalidText(Exception):
    """A text cannot be read; the message says why.

    Attributes:
        at: Line and column, counted from 1.
    """

    def __init__(self, at: tuple[int, int], message: str, hint: str) -> None:
        super().__init__(message)
        self.at = at
        self.hint = hint


class Offset(NamedTuple):
    """A position in a text as parsers count it: line and column from 0."""

    line: int
    column: int


def forbidden_character(text: str, at: int) -> InvalidText:
    """Return the error for a character that YAML does not allow."""
    number = ord(text[at])
    hint = "remove it" if number else "save the file as UTF-8 text"
    return InvalidText(_position(text, at), f"the character U+{number:04X} is not allowed", hint)


def unsupported_version(text: str) -> InvalidText | None:
    """Return the error for a directive such as ``%YAML 1.1``, or None if there is no such one."""
    found = _OTHER_VERSION.match(text)
    if found is None:
        return None
    message = "this version of YAML is not supported"
    hint = "remove the line; job files are YAML 1.2"
    return InvalidText(_position(text, found.start(1)), message, hint)


def invalid_yaml(text: str, words: str, at: Offset, opening: Offset | None) -> InvalidText:
    """Return the error for a text that a YAML parser could not read.

    A frequent mistake is recognised by the text at the position; anything else is described in the
    words of the parser.

    Args:
        text: The text.
        words: The message of the parser.
        at: Where it stopped.
        opening: Where the part begins that it was reading, if it reports that.
    """
    lines = [*text.split("\n"), ""]
    unknown = at, f"invalid YAML: {words}", _LOOK_AROUND
    place, message, hint = _Mistake(lines, at, opening).find() or unknown
    line = lines[at.line]
    if "{%" in line:
        hint = "remove it: args may contain templates such as {{name}}, but no statements"
    elif "{{" in line or "${" in line:
        hint = QUOTE_TEMPLATES
    elif re.match(r"\s*-[^\s-]", lines[place.line]):
        hint = "put a space after the dash"
    return InvalidText((place.line + 1, place.column + 1), message, hint)


_Found = tuple[Offset, str, str]
"""Where to point, what is wrong, and what to do."""


class _Mistake:
    """Recognises a frequent mistake by the text where a parser stopped, and where a part began."""

    def __init__(self, lines: list[str], at: Offset, opening: Offset | None) -> None:
        self._lines = lines
        self._at, self._opening = at, opening or at
        line = lines[at.line]
        self._before, self._here = line[: at.column], line[at.column : at.column + 1]
        self._part = lines[opening.line][opening.column :] if opening and opening != at else ""

    def find(self) -> _Found | None:
        """Return the mistake, or None if it is not one of the frequent ones."""
        return (
            self._in_quotes()
            or self._in_brackets()
            or self._in_another_part()
            or self._at_a_sign()
            or self._at_a_colon()
            or self._around_the_document()
            or self._in_a_block()
        )

    def _in_quotes(self) -> _Found | None:
        if not self._part.startswith(("'", '"')):
            return None
        advice = "write two backslashes, or put the text in single quotes"
        if self._before.endswith("\\"):
            return self._at, f"unknown escape `\\{self._here}` in double quotes", advice
        if re.search(r"\\[xuU]$", self._before):
            return self._at, "incomplete escape in double quotes", advice
        return self._opening, "the quote that opens here is never closed", "close it"

    def _in_brackets(self) -> _Found | None:
        if not self._part.startswith(("[", "{")):
            return None
        closing = "]" if self._part.startswith("[") else "}"
        if self._at.line > self._opening.line:
            message = f"the bracket that opens here is not closed by `{closing}`"
            return self._opening, message, "close it, or separate its parts by commas"
        hint = "add it, or quote a string that contains brackets"
        return self._at, f"expected a comma or `{closing}`", hint

    def _in_another_part(self) -> _Found | None:
        sign = self._part[:1]
        if sign in ("*", "&"):
            message = f"`{sign}` must be followed by a name"
            return self._opening, message, f"quote a string that begins with `{sign}`"
        if sign == "!":
            return self._opening, "invalid tag", "quote a string that begins with `!`"
        if sign == "%":
            message = "this line begins with `%`, but is not a YAML directive"
            return self._opening, message, "remove it"
        if sign in ("|", ">"):
            message = f"unexpected text on the line of `{sign}`"
            return self._at, message, "begin the text on the next line"
        return None

    def _at_a_sign(self) -> _Found | None:
        here = self._here
        if here == "\t":
            return self._at, "unexpected tab", "indent with spaces; YAML does not allow tabs"
        if here in ("@", "`", "%"):
            name = "a backtick" if here == "`" else f"`{here}`"
            return self._at, f"an unquoted string cannot begin with {name}", "quote it"
        if here == "-" and self._before.rstrip().endswith(":"):
            hint = "begin the list on the next line, or quote a string that begins with a dash"
            return self._at, "unexpected dash", hint
        if here == ",":
            return self._at, "a value is missing before this", "write one, or remove the comma"
        if here and here in "]}" and not self._part:
            message = f"a value cannot begin with `{here}`"
            return self._at, message, "remove it, or quote the text"
        if here and here in "]}":
            return self._at, f"`{here}` closes nothing", "remove it, or quote the text"
        return None

    def _at_a_colon(self) -> _Found | None:
        if self._here != ":" or self._part:
            return None
        if self._at.column > _MAX_KEY:
            return self._at, "the key is too long", f"a key has at most {_MAX_KEY} characters"
        if ": " in self._before:
            return self._at, "a second `: ` on this line", "quote the value"
        return self._at, "a key is not allowed here", _LOOK_AROUND

    def _around_the_document(self) -> _Found | None:
        if self._before.startswith("..."):
            return self._at, "a second document begins here", "a job file is one document"
        if self._at.line and self._lines[self._at.line - 1].startswith("%"):
            message = "a directive must be followed by a line `---`"
            return self._at, message, "add it, or remove the line with `%`"
        return None

    def _in_a_block(self) -> _Found | None:
        if not self._part:
            return None
        if not re.search(r":(\s|$)", self._part):
            hint = "write `key: value`; or indent the line if it continues the one above"
            return self._opening, "expected a key followed by a colon and a space", hint
        if not self._before.strip():
            hint = "align it with the lines that it belongs to"
            return self._at, "the indentation of this line matches no line above", hint
        return self._at, "unexpected text after the end of a value", "quote the whole text"


def invalid_json(text: str) -> InvalidText | None:
    """Return why a text is not JSON; None if it is, or is nested too deeply to judge."""
    try:
        # Numbers stay text: their size is checked later, where their positions are known.
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        return _json_error(error, text)
    except _Constant as error:
        found = next(one for one in re.finditer(_STRING_OR_CONSTANT, text) if one[1])
        message = f"invalid JSON: {error} is not a JSON number"
        return InvalidText(_position(text, found.start()), message, "quote it, or write null")
    except RecursionError:
        pass
    return None


_STRING_OR_CONSTANT: Final = r'"(?:[^"\\]|\\.)*"|(-?Infinity|NaN)'


class _Constant(Exception):
    """A number of JavaScript that JSON does not have."""


def _refuse(constant: str) -> Any:
    raise _Constant(constant)


def _json_error(error: json.JSONDecodeError, text: str) -> InvalidText:
    at = error.pos
    before, here = text[:at].rstrip(), text[at : at + 1]
    message, hint = f"unexpected `{here}`", "check the commas, quotes and brackets before it"
    if not text.strip():
        return InvalidText((1, 1), "the file is empty", "write `jobs` and a `todo`")
    if "," in (here, before[-1:]) and re.match(r",?\s*[]}]", text[at:]):
        at = at if here == "," else len(before) - 1
        message, hint = "unexpected comma before the closing bracket", "remove it"
    elif here == "'":
        message, hint = "unexpected single quote", "put the text in double quotes"
    elif here in ("/", "#"):
        message, hint = "unexpected comment", "remove it"
    elif here == '"' and text.count('"', at) == 1:
        message, hint = "the quote that opens here is never closed", "close it"
    elif not here:
        message, hint = "the text ends before its brackets are closed", "close them"
    elif here in "\n\t":
        message, hint = "unexpected line break or tab in a string", "write \\n or \\t"
    elif here == "\\" or before[-1:] == "\\":
        message, hint = "unknown escape", "write two backslashes for one"
    elif before[:1] in ("{", "[") and _is_whole(before):
        message = "unexpected text after the end of the document"
        hint = "a job file is one document"
    elif re.match(r"[A-Za-z_]", here):
        message, hint = "unexpected text without quotes", "put it in double quotes"
    elif re.search(r"[\w\]}\"]$", before):
        message, hint = "a comma or a colon is missing before this", "add it"
    return InvalidText(_position(text, at), f"invalid JSON: {message}", hint)


def _is_whole(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _position(text: str, at: int) -> tuple[int, int]:
    before = text[:at]
    return before.count("\n") + 1, len(before) - before.rfind("\n")
