"""Blocks of Python in a job file: compiled with it, run as functions, with lines of the file."""

import ast
import inspect
import linecache
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import CodeType, FunctionType
from typing import Any, Final, NamedTuple, Protocol, cast

from ojobchannels.errors import (
    CodeFailed,
    JobFileError,
    JobMisuse,
    JobTimeout,
    RunCancelled,
    add_note,
    quoted,
)
from ojobchannels.manager.output import OutputLevel
from ojobchannels.ojob.code.registry import register, unregister
from ojobchannels.ojob.code.source_map import AS_JAVASCRIPT, CodeLines
from ojobchannels.ojob.languages import Host, Program
from ojobchannels.ojob.yaml.source import DocumentPath, Source

HELPERS: Final = tuple("channel each error job launch log log_err log_warn skip state".split())
"""The names that every block has besides `args`: parameters, so that a block may reassign them."""

_INDENT: Final = "    "
_WRAPPER: Final = f"def block({', '.join(HELPERS)}):\n{_INDENT}global args\n"
SYNTAX_ERRORS: Final = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What the compiler raises for a text that is not valid Python."""

_JAVASCRIPT_NAMES: Final = frozenset(
    "af console false forEach getEnv indexOf isDef isUnDef length logErr logWarn nowUTC null push "
    "sleep true undefined".split()
)
_GENERATOR_FLAGS: Final = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_MENTIONS: Final = re.compile(r"\b(job|launch|channel)\b")
"""Matches a block that may name a job or a channel, which is checked too."""

MODULE: Final = "__ojob__"
"""The name of the module in which a block runs."""

_CHECKED: Final = "<checked block>"
"""The file name of a block that is only checked."""


class CallArg(NamedTuple):
    """A key in the literal args of a call."""

    name: str
    line: int
    column: int


class Call(NamedTuple):
    """A call of ``job("…")`` or ``launch("…")`` with a literal job name."""

    job: str
    line: int
    column: int
    args: tuple[CallArg, ...] = ()


class Opening(NamedTuple):
    """A call of ``channel("…", {…})`` with a literal configuration."""

    config: Any
    line: int
    column: int


class PythonHost(Host, Protocol):
    """What a block of Python needs of the job that it works for.

    Attributes:
        builtins: The builtins of the block.
        bridges: Further names for the code of a bundled pack.
    """

    builtins: dict[str, Any]
    bridges: Mapping[str, Any]

    def helpers(self) -> dict[str, Any]:
        """Return the values of `HELPERS`."""

    def printed(self, stream: OutputLevel, text: str) -> None:
        """Keep what code in another process has printed to a standard stream."""


class Python:
    """A block of Python, compiled at its first run."""

    def __init__(self, compile: Callable[[], CodeType]) -> None:
        self._compile = compile

    @cached_property
    def code(self) -> CodeType:
        """The block as the code of a function."""
        return self._compile()

    def run(self, host: PythonHost) -> Any:
        """Run the block, and return its result."""
        module = register(MODULE)
        namespace = vars(module)
        namespace |= {"__builtins__": host.builtins, "args": host.args, **host.bridges}
        try:
            result = FunctionType(self.code, namespace)(**host.helpers())
        except (NameError, AttributeError) as error:
            if isinstance(error.name, str) and error.name in _JAVASCRIPT_NAMES:
                add_note(error, f"`{error.name}` looks like JavaScript: {AS_JAVASCRIPT}")
            raise
        finally:
            unregister(module)
        args = namespace["args"]
        if not isinstance(args, dict):
            reason = f"it replaced `args` by {quoted(args)}"
            raise JobMisuse(host.job, reason, "`args` must remain a map")
        host.args = args
        return result


@dataclass(frozen=True)
class Block:
    """One block of code, ready to run, with the calls that were found in it."""

    program: Python | Program = field(repr=False)
    calls: tuple[Call, ...] = ()
    openings: tuple[Opening, ...] = ()

    def isolated(self, modules: Mapping[str, CodeType], where: str) -> "Isolated":
        """Return the block to run in a process of its own, with the modules it can import."""
        assert isinstance(self.program, Python)  # noqa: S101  other languages do so anyway
        return Isolated(self.program, modules, where)

    def run(self, host: PythonHost) -> Any:
        """Run the block, and return its result.

        The traceback of a failure in another language is removed: it shows only how the language
        raised it, not the code of the job.
        """
        if isinstance(self.program, Python):
            return self.program.run(host)
        try:
            return self.program.run(host)
        except (CodeFailed, JobTimeout, RunCancelled) as error:
            raise error.with_traceback(None) from error.__cause__


@dataclass(frozen=True)
class Isolated:
    """A block of Python that runs in a process of its own."""

    program: Python = field(repr=False)
    modules: Mapping[str, CodeType] = field(repr=False)
    where: str

    def run(self, host: PythonHost) -> Any:
        """Run the block, and return its result."""
        from ojobchannels.ojob.code.isolated import run_isolated  # loaded where it is used

        return run_isolated(self.program.code, self.modules, host, self.where)


def compile_block(source: Source, path: DocumentPath, text: str, title: str) -> Block:
    """Check the text at `path`, and return a block that is compiled at its first run.

    Most blocks are valid and call no job: one call of the compiler proves that. Only for the
    others, and for a run, the syntax tree is built, with the positions of its nodes in the file.

    Raises:
        JobFileError: It is not valid Python for the body of a function.
    """
    folded = source.position(path).style == ">"
    if not folded and not _MENTIONS.search(text) and _is_valid(text):
        return Block(Python(lambda: _compiled(source, path, text, title)[0]))
    code, tree, lines = _compiled(source, path, text, title)
    found = list(_mentions(tree, lines))
    calls = tuple(one for one in found if isinstance(one, Call))
    openings = tuple(one for one in found if isinstance(one, Opening))
    return Block(Python(lambda: code), calls, openings)


def _is_valid(text: str) -> bool:
    """Return whether a text certainly compiles as the body of a function, without a warning.

    The indentation may change string literals, which makes no difference here.
    """
    if "\r" in text:
        return False
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module=_CHECKED)
        try:
            body = text.replace("\n", f"\n{_INDENT}")
            module = compile(f"{_WRAPPER}{_INDENT}{body}\n", _CHECKED, "exec", dont_inherit=True)
        except SYNTAX_ERRORS:
            return False
    return not _function_in(module).co_flags & _GENERATOR_FLAGS


def _function_in(module: CodeType) -> CodeType:
    return next(part for part in module.co_consts if isinstance(part, CodeType))


def _compiled(
    source: Source, path: DocumentPath, text: str, title: str
) -> tuple[CodeType, ast.Module, CodeLines]:
    """Compile a block so that tracebacks show its lines in the file.

    The statements are put into a function as they are parsed. Indenting the text instead would
    change string literals of several lines.

    Raises:
        JobFileError: It is not valid Python for the body of a function.
    """
    lines = CodeLines(source, path, text)
    try:
        tree = ast.parse(lines.padded, lines.name)
    except SYNTAX_ERRORS as error:
        raise JobFileError((lines.diagnostic(error),)) from None
    if lost := lines.lost_in_comment():
        raise JobFileError((lost,))
    lines.shift_columns(tree)
    try:
        try:
            module = _compiled_body(lines, tree, _definitions(tree))
        except SyntaxError:  # such as `nonlocal` for one of them
            module = _compiled_body(lines, tree, [])
    except SYNTAX_ERRORS as error:
        raise JobFileError((lines.diagnostic(error, shifted=True),)) from None
    code = _function_in(module)
    if code.co_flags & _GENERATOR_FLAGS:
        reason = "`yield` is not allowed at the top level of a block"
        raise JobFileError((source.diagnostic(path, reason, "put it into a function"),))
    linecache.cache[lines.name] = lines.linecache_entry
    return code.replace(co_name=title, co_qualname=title), tree, lines


def _compiled_body(lines: CodeLines, tree: ast.Module, definitions: list[str]) -> CodeType:
    """Compile statements as the body of a function, whose definitions are those of its module."""
    wrapper = ast.parse(_WRAPPER, lines.name)
    ast.increment_lineno(wrapper, lines.first - 1)
    function = cast(ast.FunctionDef, wrapper.body[0])
    cast(ast.Global, function.body[0]).names += definitions
    function.body += tree.body
    code: CodeType = compile(wrapper, lines.name, "exec", dont_inherit=True)
    return code


def _definitions(tree: ast.Module) -> list[str]:
    """Return the classes and functions of a block, which can be pickled if they are global."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    names = (node.name for node in tree.body if isinstance(node, kinds))
    return [name for name in names if name not in HELPERS]


def as_body(text: str) -> str:
    """Return a block that returns a value; for a single expression, its value."""
    try:
        ast.parse(text.strip(), mode="eval")
    except SYNTAX_ERRORS:
        return text
    return f"return ({text.strip()})"


def has_no_effect(text: str) -> bool:
    """Return whether a text must be meant as a name: one line that is not code or does nothing."""
    if "\n" in text.strip():
        return False
    try:
        tree = ast.parse(text.strip())
    except SYNTAX_ERRORS:
        return True
    acts = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
    return all(isinstance(statement, ast.Expr) for statement in tree.body) and not any(
        isinstance(node, acts) for node in ast.walk(tree)
    )


def _mentions(tree: ast.Module, lines: CodeLines) -> Iterator[Call | Opening]:
    bound = set(_bound(tree))
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Name(id="job" | "launch" as called),
                args=[ast.Constant(value=str(name)), *rest],
            ) if called not in bound:
                args = [*rest, *(keyword.value for keyword in node.keywords)]
                found = tuple(_literal_args(args, lines))
                yield Call(name, *lines.position_of(node.lineno, node.col_offset), found)
            case ast.Call(func=ast.Name(id="channel"), args=[_, config]) if "channel" not in bound:
                try:
                    value = ast.literal_eval(config)
                except ValueError:
                    continue  # known only when it runs
                yield Opening(value, *lines.position_of(config.lineno, config.col_offset))


def _literal_args(args: list[ast.expr], lines: CodeLines) -> Iterator[CallArg]:
    for arg in args:
        for key in arg.keys if isinstance(arg, ast.Dict) else ():
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield CallArg(key.value, *lines.position_of(key.lineno, key.col_offset))


def _bound(tree: ast.Module) -> Iterator[str | None]:
    """Yield the names that a block binds itself."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.alias(name=name, asname=other):
                yield other or name
