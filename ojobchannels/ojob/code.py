"""Blocks of Python in a job file: checked with it, run as functions, traced back into its lines."""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any, Final, NamedTuple, cast

from ojobchannels.errors import JobFileError, Problem
from ojobchannels.ojob.places import DocumentPath, written
from ojobchannels.ojob.source import Source

HELPERS: Final = ("channel", "error", "job", "launch", "log", "log_err", "log_warn", "skip")
"""The names at hand in every block, besides `args`: parameters, so that a block may reuse them."""

_SHELL: Final = f"def block({', '.join(HELPERS)}):\n    global args\n"
_NOT_PLAIN: Final = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Call(NamedTuple):
    """A call of ``job("…")`` or ``launch("…")`` whose job is written out."""

    job: str
    line: int
    column: int


@dataclass(frozen=True)
class Block:
    """One block of code, ready to run."""

    code: CodeType = field(repr=False)
    calls: tuple[Call, ...]

    def run(self, args: dict[str, Any], helpers: Mapping[str, Any], **more: Any) -> tuple[Any, Any]:
        """Runs the block; returns what it returned, and `args`, which it may have replaced."""
        namespace = {"__name__": "__ojob__", "args": args, **more}
        answer = FunctionType(self.code, namespace)(**helpers)
        return answer, namespace["args"]


def compile_block(source: Source, path: DocumentPath, text: str, title: str) -> Block:
    """Compiles the text at `path`, so that tracebacks show the lines of the file.

    The statements are put into a function as they are parsed. Indenting the text instead would
    change the string literals that go over several lines.

    Raises:
        JobFileError: It is no Python that can stand in a function.
    """
    lines = _Lines(source, path, text)
    try:
        tree = ast.parse(lines.padded, source.name)
    except (SyntaxError, ValueError) as error:
        raise JobFileError((lines.problem(error),)) from None
    lines.mend(tree)
    try:
        shell = ast.parse(_SHELL, source.name)
        ast.increment_lineno(shell, lines.first - 1)
        cast(ast.FunctionDef, shell.body[0]).body += tree.body
        module = compile(shell, source.name, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise JobFileError((lines.problem(error, mended=True),)) from None
    code = next(part for part in module.co_consts if isinstance(part, CodeType))
    if code.co_flags & _NOT_PLAIN:
        reason, advice = "it yields, but is no generator", "put the `yield` into a function"
        raise JobFileError((source.problem(path, reason, advice),))
    linecache.cache[source.name] = (len(source.text), None, source.lines, source.name)
    return Block(code.replace(co_name=title, co_qualname=title), tuple(_calls(tree)))


def names_nothing_to_do(text: str) -> bool:
    """Tells whether a text must be meant as a name: one line that is no code, or does nothing."""
    if "\n" in text.strip():
        return False
    try:
        tree = ast.parse(text.strip())
    except SyntaxError:
        return True
    acts = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
    return all(isinstance(one, ast.Expr) for one in tree.body) and not any(
        isinstance(node, acts) for node in ast.walk(tree)
    )


class _Lines:
    """Where the lines of a block stand in its file.

    A literal block (``|``) has each line of code on a line of its own, behind an indentation. In
    any other style all of the code counts as standing where the value begins.
    """

    def __init__(self, source: Source, path: DocumentPath, text: str) -> None:
        self._source = source
        self._path = path
        place = source.place(path)
        self._literal = place.style == "|"
        self.first = place.line + 1 if self._literal else place.line
        self.padded = "\n" * (self.first - 1) + text
        self._indentation = self._indentation_of(text) if self._literal else place.column - 1

    def _indentation_of(self, text: str) -> int:
        code = text.split("\n")
        at = next((at for at, line in enumerate(code) if line.strip()), None)
        return 0 if at is None else len(self._source.lines[self.first - 1 + at]) - len(code[at]) - 1

    def mend(self, tree: ast.AST) -> None:
        """Moves the nodes from where they stand in the text to where they stand in the file."""
        for node in ast.walk(tree):
            if "lineno" in node._attributes:
                self._move(node)

    def _move(self, node: Any) -> None:
        if not self._literal:
            node.lineno = node.end_lineno = self.first
        node.col_offset += self._indentation
        node.end_col_offset += self._indentation

    def problem(self, error: SyntaxError | ValueError, *, mended: bool = False) -> Problem:
        """Places an error of the parser, or one of the compiler, which knows mended places only."""
        line, column, reason = self.first, 1, str(error)
        if isinstance(error, SyntaxError):
            line, column, reason = error.lineno or line, error.offset or column, error.msg
        if not mended:
            column += self._indentation
        message = f"this is not Python: {reason}"
        if not self._literal:
            message += "" if mended else f" (line {line - self.first + 1} of the code)"
            line, column = self._source.place(self._path)[:2]
        name, path = self._source.name, written(self._path)
        return Problem(name, line, column, path, message, "")


def _calls(tree: ast.Module) -> Iterator[Call]:
    bound = set(_bound(tree))
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Name(id="job" | "launch" as called),
                args=[ast.Constant(value=str(name)), *_],
                lineno=line,
                col_offset=column,
            ) if called not in bound:
                yield Call(name, line, column + 1)


def _bound(tree: ast.Module) -> Iterator[str | None]:
    """The names that a block gives a meaning of its own."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.alias(name=name, asname=other):
                yield other or name
