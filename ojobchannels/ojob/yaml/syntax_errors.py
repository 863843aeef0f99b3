"""What is wrong with a text that is no YAML, or no JSON, in the words of a job file's author."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple

from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

QUOTE_TEMPLATES: Final = 'put quotes around a text with a template: "{{name}}"'
_LOOK_AROUND: Final = "look at the indentation and the quotes here and in the lines above"


class SyntaxFault(NamedTuple):
    """Where a text is wrong, why, and what to do about it."""

    line: int
    column: int
    message: str
    hint: str


def unreadable(error: ReaderError, text: str) -> SyntaxFault:
    """Describes a character that YAML does not take."""
    number = ord(text[error.position])
    said = f"the character U+{number:04X} is not allowed here"
    hint = "take it out" if number else "save the file as UTF-8 text"
    return SyntaxFault(*_place(text, error.position), said, hint)


def unknown_version(text: str) -> SyntaxFault:
    """Describes a line such as ``%YAML 1.22``, at which ruamel.yaml stumbles."""
    at = max(text.find("%YAML"), 0)
    return SyntaxFault(*_place(text, at), "this version of YAML is unknown", "take the line out")


def no_yaml(error: MarkedYAMLError, text: str) -> SyntaxFault:
    """Describes what the parser of ruamel.yaml did not understand."""
    mark = error.problem_mark or error.context_mark
    opened = error.context_mark or mark
    lines = [*text.split("\n"), ""]
    line = lines[mark.line]
    fault = _quoting(error, line) or _structure(error, line)
    if fault is None:
        words = ", ".join(part for part in (error.context, error.problem) if part)
        fault = False, f"this is not YAML: {words}", _LOOK_AROUND
    at_opening, said, hint = fault
    at = opened if at_opening else mark
    if "{%" in line:
        hint = "take it out: there are templates in args, such as {{name}}, and no statements"
    elif "{{" in line or "${" in line:
        hint = QUOTE_TEMPLATES
    elif re.match(r"\s*-[^\s-]", lines[at.line]):
        hint = "put a space behind the dash"
    return SyntaxFault(at.line + 1, at.column + 1, said, hint)


def no_json(text: str) -> SyntaxFault | None:
    """Describes why a text is no JSON; None if it is, or is too deep or too large to tell."""
    try:
        # Numbers stay text: how large they may be is judged later, where their places are known.
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        return _json_fault(error, text)
    except _Constant as error:
        said, hint = f"this is not JSON: {error}", "put quotes around it, or write null"
        found = next(one for one in _STRING_OR_CONSTANT.finditer(text) if one[1])
        return SyntaxFault(*_place(text, found.start()), said, hint)
    except RecursionError:
        pass
    return None


_Fault = tuple[bool, str, str]
"""Whether to point at where it began, what is wrong, and what to do."""


def _quoting(error: MarkedYAMLError, line: str) -> _Fault | None:
    """Faults of a single text, most of which quotes would mend."""
    context, problem = error.context or "", error.problem or ""
    if found := re.search("undefined alias ['\"](.+)['\"]", problem):
        return (
            False,
            f"no anchor `&{found[1]}` stands above this alias",
            (
                f"put `&{found[1]}` before what it stands for, or quotes around a text that begins "
                "with `*`"
            ),
        )
    if found := re.search("scanning an (alias|anchor)", context):
        sign = "*" if found[1] == "alias" else "&"
        return (
            True,
            f"no name stands behind `{sign}`",
            (f"put quotes around a text that begins with `{sign}`"),
        )
    if "'\\t'" in problem:
        return False, "a tab stands here", "indent with spaces, YAML takes no tabs"
    if "mapping keys" in problem:
        return False, "a text cannot begin with `?` and a space", "put quotes around it"
    if found := re.search("character '(.+)' that cannot start", problem):
        sign = "a backtick" if found[1] == "`" else f"`{found[1]}`"
        return False, f"a text cannot begin with {sign}", "put quotes around it"
    if "quoted scalar" in context and "unexpected" in problem:
        return True, "the quote that opens here is never closed", "close it"
    if found := re.search("unknown escape character ['\"](.+)['\"]", problem):
        return (
            False,
            f"`\\{found[1]}` means nothing in double quotes",
            ("write two backslashes, or put single quotes around the text"),
        )
    if "escape sequence" in problem:
        return (
            False,
            "the escape is not finished",
            ("write two backslashes, or put single quotes around the text"),
        )
    if " tag" in context or "tag handle" in problem:
        return True, "no tag can be read here", "put quotes around a text with `!`"
    if "directive" in context:
        return True, "this line begins with `%`, but is no directive of YAML", "take it out"
    if "block scalar" in context:
        sign = "|" if "|" in line else ">"
        return False, f"text stands in the line of the `{sign}`", "begin it in the next line"
    if "a single document" in context or "document end marker" in problem:
        return False, "a second document begins here", "a job file is one document"
    if "<document start>" in problem:
        return (
            False,
            "the document has ended before this",
            ("look at the brackets above; and behind a line with % there must be a line with ---"),
        )
    if "incompatible YAML" in problem:
        return False, "this version of YAML is unknown", "take the line out"
    return None


def _structure(error: MarkedYAMLError, line: str) -> _Fault | None:
    """Faults of indentation, brackets and colons."""
    context, problem, mark = error.context or "", error.problem or "", error.problem_mark
    first = not line[: mark.column].strip()
    if "expected ':'" in problem:
        return (
            True,
            "no colon and space stand behind this key",
            ("write `key: value`; or indent the line, if it goes on with what stands above"),
        )
    if "mapping values" in problem and ": " in line.partition(": ")[2]:
        return False, "a second colon and space stand in this line", "put quotes around the text"
    if "mapping values" in problem:
        long = len(line.strip()) > 1024
        hint = "a key has 1024 characters at most" if long else _LOOK_AROUND
        return False, "no key can stand here", hint
    if "<block end>" in problem and (found := re.search(r"found '([]}])'", problem)):
        said = f"this `{found[1]}` closes nothing"
        return False, said, "take it out, or put quotes around the text"
    if "<block end>" in problem and first:
        return False, "the indentation of this line fits to none above", "indent it as its equals"
    if "<block end>" in problem:
        said = "text stands behind a value that has ended"
        return False, said, "put quotes around the whole text"
    if "sequence entries" in problem:
        return (
            False,
            "no dash can stand here",
            ("begin it in the next line, or put quotes around a text that begins with it"),
        )
    if "flow node" in context:
        return False, "a value is missing before this", "write one, or take the comma out"
    if found := re.search("expected the node content, but found '(.)'", problem):
        said = f"a value cannot begin with `{found[1]}`"
        return False, said, "take it out, or put quotes around the text"
    if found := re.search(r"expected ',' or '(.)'", problem):
        if mark.line > error.context_mark.line:
            said = f"the bracket that opens here is not closed by `{found[1]}`"
            return True, said, "close it, or put a comma between its parts"
        said = f"a comma or `{found[1]}` must stand before this"
        return False, said, "put it there, or quotes around a text with brackets"
    return None


_STRING_OR_CONSTANT: Final = re.compile(r'"(?:[^"\\]|\\.)*"|(-?Infinity|NaN)')


class _Constant(Exception):
    """A number of JavaScript that is none of JSON."""


def _refuse(constant: str) -> Any:
    raise _Constant(f"{constant} is no number of it")


def _json_fault(error: json.JSONDecodeError, text: str) -> SyntaxFault:
    at, said = error.pos, error.msg[:1].lower() + error.msg[1:]
    before, here = text[:at].rstrip(), text[at : at + 1]
    if not text.strip():
        return SyntaxFault(1, 1, "the file is empty", "write `jobs` and a `todo`")
    if "," in (here, before[-1:]) and re.match(r",?\s*[]}]", text[at:]):
        at = at if here == "," else len(before) - 1
        said, hint = "a comma stands before the closing bracket", "take it out"
    elif here == "'":
        said, hint = "a text stands in single quotes", "put double quotes around it"
    elif here in ("/", "#"):
        said, hint = "a comment stands here", "take it out"
    elif "unterminated string" in said:
        said, hint = "the quote that opens here is never closed", "close it"
    elif not here:
        said, hint = "the text ends before its brackets are closed", "close them"
    elif found := re.search("expecting ('.') delimiter", said):
        said, hint = f"no {found[1]} stands before this", f"put {found[1]} there"
    elif "control character" in said:
        said, hint = "a line break or a tab stands in a text", "write \\n or \\t for it"
    elif "escape" in said:
        said, hint = "this escape is unknown", "write two backslashes for one"
    elif said == "extra data":
        said, hint = "more stands behind the end of the document", "a job file is one document"
    elif re.match(r"[A-Za-z_]", here):
        said, hint = "a text stands here without quotes", "put double quotes around it"
    else:
        hint = "look at the commas, quotes and brackets here and before"
    return SyntaxFault(*_place(text, at), f"this is not JSON: {said}", hint)


def _place(text: str, at: int) -> tuple[int, int]:
    before = text[:at]
    return before.count("\n") + 1, len(before) - before.rfind("\n")
