"""The positions of a code block's lines in its file, for tracebacks and diagnostics."""

import ast
import io
import re
import tokenize
from typing import Any, Final

from ojobchannels.errors import CodeFault, Diagnostic
from ojobchannels.ojob.yaml.source import DocumentPath, Position, Source, diagnostic_at

_BLOCKS: Final = ("|", ">")
_JAVASCRIPT: Final = (
    r"^(var|let|const|function|new|throw)\s|=>|===|//|`|[;{]$|^}|\$\w*\(|^(if|for|while)\s*\(.*\)$"
)
_SURELY_JAVASCRIPT: Final = (
    r"(?m)^\s*((var|let|const)\s+\w+\s*=|//|.*=>\s*[\w{(]|(throw|return)\b.*;$|.*[;{]$)"
)
AS_JAVASCRIPT: Final = "write `lang: js` below `typeArgs`, or run it with --lang js"
_UNFOLD: Final = "write `|` instead of `>`, which joins lines"
_UNJOIN: Final = "write `|` after the key and the code below it; otherwise YAML joins its lines"


class CodeLines:
    """The lines of one block.

    If each line of code is a line of the file, or a part of one, tracebacks show the file. If YAML
    or JSON made the code from other text, by joining lines or by escapes, they show the code
    itself, under a name that gives its position in the file.

    Attributes:
        name: The file name in tracebacks.
        first: The number of the first line of code in that file.
    """

    def __init__(self, source: Source, path: DocumentPath, text: str) -> None:
        self._source = source
        self._path = path
        self._position = source.position(path)
        self._code = re.split(r"\r\n?|\n", text.rstrip("\n"))
        before = _before(source, self._position, self._code)
        self._exact = before is not None
        self._before = before or ""
        if self._exact:
            self.name = source.name
            self.first = self._position.line + (self._position.style in _BLOCKS)
            self._lines = source.lines
        else:
            line, column = self._position[:2]
            self.name = f"{source.name}, code from line {line}, column {column}"
            self.first = 1
            self._lines = [f"{line}\n" for line in self._code]

    @property
    def padded(self) -> str:
        """The code after empty lines, so that the parser counts lines as in the file."""
        return "\n" * (self.first - 1) + "\n".join(self._code)

    @property
    def linecache_entry(self) -> tuple[int, None, list[str], str]:
        """The entry of the module `linecache` that makes tracebacks show the lines."""
        if self._exact:
            return self._source.shown
        return sum(map(len, self._lines)), None, self._lines, self.name

    def shift_columns(self, tree: ast.AST) -> None:
        """Shift the columns of all nodes by the indentation of the code in its file."""
        moved = len(self._before.encode())
        for node in ast.walk(tree) if moved else ():
            if "lineno" in node._attributes:
                positioned: Any = node
                positioned.col_offset += moved
                positioned.end_col_offset += moved

    def position_of(self, line: int, offset: int) -> tuple[int, int]:
        """Return the line and column in the file of a shifted node, whose offset is in bytes."""
        if not self._exact:
            return self._position[:2]
        text = self._lines[line - 1].encode() if line <= len(self._lines) else b""
        return line, len(text[:offset].decode(errors="ignore")) + 1

    def diagnostic(self, error: Exception, *, shifted: bool = False) -> Diagnostic:
        """Describe an error of the parser, or with `shifted` one of the compiler."""
        line, column, reason = self.first, 1, str(error)
        if isinstance(error, SyntaxError):
            line, column, reason = error.lineno or line, error.offset or column, error.msg
        elif isinstance(error, RecursionError | MemoryError):
            reason = "it is nested too deeply"
        elif isinstance(error, UnicodeError):
            reason = "it contains a lone surrogate"
        at = self.position_of(line, column - 1)
        if self._exact and not shifted:
            at = line, column + len(self._before)
        message = f"invalid Python: {reason}"
        if not self._exact:
            message += f" (line {line} of the code{self._quoted(line)})"
        return diagnostic_at(self._source.name, at, self._path, message, self._advice(line))

    def foreign_diagnostic(self, error: CodeFault, language: str) -> Diagnostic:
        """Describe an error that the compiler of another language has found."""
        moved = len(self._before) if self._exact else 0
        at = (error.line, error.column + moved) if self._exact else self._position[:2]
        message = f"invalid {language}: {error.reason}"
        if not self._exact:
            message += f" (line {error.line} of the code{self._quoted(error.line)})"
        return diagnostic_at(self._source.name, at, self._path, message)

    def lost_in_comment(self) -> Diagnostic | None:
        """Describe code that YAML folding has moved into a comment, so that it would never run."""
        if self._exact or self._position.style != ">":
            return None
        ends = {line.rstrip() for line in self._source.lines}
        for token in tokenize.generate_tokens(io.StringIO(self.padded).readline):
            comment = token.string.rstrip()
            if token.type == tokenize.COMMENT and not any(end.endswith(comment) for end in ends):
                message = f"the code after the `#` in line {token.start[0]} of the code is lost"
                return self._source.diagnostic(self._path, message, _UNFOLD)
        return None

    def _quoted(self, line: int) -> str:
        text = self._line(line)
        return f", `{text if len(text) <= 60 else f'{text[:57]}...'}`" if text else ""

    def _line(self, line: int) -> str:
        at = line - self.first
        return self._code[at].strip() if 0 <= at < len(self._code) else ""

    def _advice(self, line: int) -> str:
        text = "\n".join(self._code)
        if re.search(_JAVASCRIPT, self._line(line)) or re.search(_SURELY_JAVASCRIPT, text):
            return f"it looks like JavaScript: {AS_JAVASCRIPT}"
        if self._exact or self._position.style not in (">", None):
            return ""
        return _UNFOLD if self._position.style == ">" else _UNJOIN


def _before(source: Source, position: Position, code: list[str]) -> str | None:
    """Return the text before each line of code in the file; None if the lines differ."""
    if position.style not in _BLOCKS:
        line = source.lines[position.line - 1]
        before = line[: position.column - (position.style is None)]
        return before if len(code) == 1 and line.startswith(before + code[0]) else None
    lines = source.lines[position.line : position.line + len(code)]
    pairs = list(zip(lines, code, strict=False))
    before = next((line[: -1 - len(part)] for line, part in pairs if part.strip()), "")
    same = all(line.rstrip() == (before + part).rstrip() for line, part in pairs)
    return before if same and len(pairs) == len(code) else None
