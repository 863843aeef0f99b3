"""Where the lines of a block of code stand, for tracebacks and for messages about the code."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from typing import Any, Final

from ojobchannels.errors import CodeFault, Diagnostic
from ojobchannels.ojob.yaml.positions import DocumentPath, Position, diagnostic_at
from ojobchannels.ojob.yaml.source import Source

_BLOCKS: Final = ("|", ">")
_JAVASCRIPT: Final = re.compile(
    r"^(var|let|const|function|new|throw)\s|=>|===|//|`|[;{]$|^}|\$\w*\(|^(if|for|while)\s*\(.*\)$"
)
_SURELY_JAVASCRIPT: Final = re.compile(
    r"^\s*((var|let|const)\s+\w+\s*=|//|.*=>\s*[\w{(]|(throw|return)\b.*;$|.*[;{]$)", re.MULTILINE
)
AS_JAVASCRIPT: Final = "write `lang: js` below `typeArgs`, or run it with --lang js"
_UNFOLD: Final = "write `|` instead of `>`, which joins lines"
_UNJOIN: Final = "write `|` behind the key and the code below it, or else YAML joins its lines"


class CodeLines:
    """The lines of one block.

    Where each line of code is a line of the file, or a part of one, tracebacks lead into the file.
    Where YAML or JSON made the code of something else, by joining lines or by escapes, they lead
    into the code itself, under a name that tells where in the file it begins.

    Attributes:
        name: What stands for the file in tracebacks.
        first: The number of the first line of code under that name.
    """

    def __init__(self, source: Source, path: DocumentPath, text: str) -> None:
        self._source = source
        self._path = path
        self._place = source.position(path)
        self._code = re.split(r"\r\n?|\n", text.rstrip("\n"))
        before = _before(source, self._place, self._code)
        self._exact = before is not None
        self._before = before or ""
        if self._exact:
            self.name = source.name
            self.first = self._place.line + (self._place.style in _BLOCKS)
            self._lines = source.lines
        else:
            line, column = self._place[:2]
            self.name = f"{source.name}, code from line {line}, column {column}"
            self.first = 1
            self._lines = [f"{line}\n" for line in self._code]

    @property
    def padded(self) -> str:
        """The code below so many empty lines that the parser counts as tracebacks do."""
        return "\n" * (self.first - 1) + "\n".join(self._code)

    @property
    def shown(self) -> tuple[int, None, list[str], str]:
        """What the module linecache has to know to show them."""
        if self._exact:
            return self._source.shown
        return sum(map(len, self._lines)), None, self._lines, self.name

    def mend(self, tree: ast.AST) -> None:
        """Moves the nodes behind what stands in the file before each line of code."""
        moved = len(self._before.encode())
        for node in ast.walk(tree) if moved else ():
            if "lineno" in node._attributes:
                here: Any = node
                here.col_offset += moved
                here.end_col_offset += moved

    def position_of(self, line: int, offset: int) -> tuple[int, int]:
        """Returns the line and column in the file of a mended node, whose offset is in bytes."""
        if not self._exact:
            return self._place[:2]
        text = self._lines[line - 1].encode() if line <= len(self._lines) else b""
        return line, len(text[:offset].decode(errors="ignore")) + 1

    def diagnostic(self, error: Exception, *, mended: bool = False) -> Diagnostic:
        """Describes an error of the parser, or one of the compiler, which knows mended nodes."""
        line, column, reason = self.first, 1, str(error)
        if isinstance(error, SyntaxError):
            line, column, reason = error.lineno or line, error.offset or column, error.msg
        elif isinstance(error, RecursionError | MemoryError):
            reason = "it is nested too deeply"
        elif isinstance(error, UnicodeError):
            reason = "it contains a lone surrogate"
        at = self.position_of(line, column - 1)
        if self._exact and not mended:
            at = line, column + len(self._before)
        message = f"this is not Python: {reason}"
        if not self._exact:
            message += f" (line {line} of the code{self._quoted(line)})"
        return diagnostic_at(self._source.name, at, self._path, message, self._advice(line))

    def foreign_diagnostic(self, fault: CodeFault, language: str) -> Diagnostic:
        """Describes a fault that the checker of another language has found."""
        moved = len(self._before) if self._exact else 0
        at = (fault.line, fault.column + moved) if self._exact else self._place[:2]
        message = f"this is not {language}: {fault.reason}"
        if not self._exact:
            message += f" (line {fault.line} of the code{self._quoted(fault.line)})"
        return diagnostic_at(self._source.name, at, self._path, message)

    def lost_in_a_comment(self) -> Diagnostic | None:
        """Tells of code that folding has put behind a ``#``, so that it would never run."""
        if self._exact or self._place.style != ">":
            return None
        ends = {line.rstrip() for line in self._source.lines}
        for token in tokenize.generate_tokens(io.StringIO(self.padded).readline):
            comment = token.string.rstrip()
            if token.type == tokenize.COMMENT and not any(end.endswith(comment) for end in ends):
                said = f"what follows the `#` in line {token.start[0]} of the code is lost"
                return self._source.diagnostic(self._path, said, _UNFOLD)
        return None

    def _quoted(self, line: int) -> str:
        text = self._line(line)
        return f", `{text if len(text) <= 60 else f'{text[:57]}...'}`" if text else ""

    def _line(self, line: int) -> str:
        at = line - self.first
        return self._code[at].strip() if 0 <= at < len(self._code) else ""

    def _advice(self, line: int) -> str:
        if _JAVASCRIPT.search(self._line(line)) or _SURELY_JAVASCRIPT.search("\n".join(self._code)):
            return f"it looks like JavaScript: {AS_JAVASCRIPT}"
        if self._exact or self._place.style not in (">", None):
            return ""
        return _UNFOLD if self._place.style == ">" else _UNJOIN


def _before(source: Source, place: Position, code: list[str]) -> str | None:
    """What stands in the file before each line of code; None if the lines do not correspond."""
    if place.style not in _BLOCKS:
        line = source.lines[place.line - 1]
        before = line[: place.column - (place.style is None)]
        return before if len(code) == 1 and line.startswith(before + code[0]) else None
    lines = source.lines[place.line : place.line + len(code)]
    pairs = list(zip(lines, code, strict=False))
    before = next((line[: -1 - len(part)] for line, part in pairs if part.strip()), "")
    same = all(line.rstrip() == (before + part).rstrip() for line, part in pairs)
    return before if same and len(pairs) == len(code) else None
