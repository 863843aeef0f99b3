"""Job files as data: YAML 1.2 or JSON, with the position of every part and all errors of parts."""

import io
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from ojobchannels.errors import Diagnostic, JobFileError
from ojobchannels.host.files import UnsafeFile
from ojobchannels.masking import mask_text
from ojobchannels.ojob.yaml import composer
from ojobchannels.ojob.yaml.composer import Node, Scalar, Sequence, compose
from ojobchannels.ojob.yaml.scalars import KINDS, TAG, TEXTS, plain_tag, scalar_value
from ojobchannels.ojob.yaml.syntax_errors import QUOTE_TEMPLATES, InvalidText, invalid_json
from ojobchannels.printable import printable
from ojobchannels.suggestions import closest

DocumentPath: TypeAlias = tuple[str | int, ...]

_MAX_LENGTH: Final = 400

BUNDLED: Final = "ojobchannels:"
"""The prefix of the names of bundled packs."""
SUFFIXES: Final = (".yaml", ".yml", ".json")
_NOT_FOR_YAML: Final = "[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]"
"""Characters that JSON allows in texts, but YAML reads as line breaks or refuses."""

_MAP: Final = f"{TAG}map"
_LIST: Final = f"{TAG}seq"
_MERGE: Final = f"{TAG}merge"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NO_SPACE: Final = re.compile(r"[\w-]+:\S")


class Position(NamedTuple):
    """Where a value is in the text. Lines and columns count from 1.

    Attributes:
        key_line: Line of its key, or of the value itself if it has no key; likewise `key_column`.
        style: How a text is written: ``|``, ``>``, a quote, or None for a plain one.
    """

    line: int
    column: int
    key_line: int
    key_column: int
    style: str | None = None


def path_text(path: DocumentPath) -> str:
    """Return a path in the usual notation: ``jobs[2].args.timeout``."""
    return "".join(map(_step, path)).removeprefix(".")


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if re.fullmatch(r"[\w-]+", step) else f"[{step!r}]"


def diagnostic_at(
    file: str, at: tuple[int, int], path: DocumentPath, message: str, hint: str = ""
) -> Diagnostic:
    """Return a diagnostic of one line, whatever names and values it quotes."""
    return Diagnostic(file, *at, _one_line(path_text(path)), _one_line(message), _one_line(hint))


def _one_line(text: str) -> str:
    """Shorten a text that is too long to read; mask secrets, and escape control characters."""
    text = mask_text(text)
    return printable(text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 3]}...")


@dataclass(frozen=True)
class Source:
    """A job file that was read.

    Attributes:
        name: The path as the user knows it, for messages and tracebacks.
        bundled: Whether it is part of this package.
        data: The content as plain data.
        positions: Where each part of the data is in the text.
    """

    name: str
    path: Path
    bundled: bool
    text: str = field(repr=False)
    data: Any = field(repr=False)
    positions: Mapping[DocumentPath, Position] = field(repr=False)

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the text, each with a line break."""
        return [f"{line}\n" for line in self.text.split("\n")]

    @cached_property
    def shown(self) -> tuple[int, None, list[str], str]:
        """The entry of the module linecache for this file."""
        return len(self.text) + 1, None, self.lines, self.name

    def without(self, *keys: str) -> "Source":
        """Return the file without some of its top-level keys."""
        if not isinstance(self.data, dict):
            return self
        return replace(self, data={key: one for key, one in self.data.items() if key not in keys})

    def position(self, path: DocumentPath) -> Position:
        """Return the position of a value, or of the innermost value around it."""
        while path not in self.positions and path:
            path = path[:-1]
        return self.positions.get(path, Position(1, 1, 1, 1))

    def diagnostic(
        self, path: DocumentPath, message: str, hint: str = "", *, at_key: bool = False
    ) -> Diagnostic:
        """Return a diagnostic that points at the value at `path`, or at its key."""
        place = self.position(path)
        return diagnostic_at(self.name, place[2:4] if at_key else place[:2], path, message, hint)


def read(path: Path, name: str, *, bundled: bool = False) -> Source:
    """Read one file of YAML 1.2 or JSON.

    Raises:
        JobFileError: It cannot be read, or is not valid YAML or JSON.
    """
    if path.suffix not in SUFFIXES:
        advice = f"the name of a job file ends in {', '.join(SUFFIXES)}"
        raise _error(name, (0, 0), "not the name of a job file", advice)
    text = _content(path, name)
    if path.suffix == ".json":
        if error := invalid_json(text):
            raise _error(name, error.at, str(error), error.hint)
        text = re.sub(_NOT_FOR_YAML, _escaped, text.replace("\t", " "))
    reader = Reader(name)
    data = reader.read(text)
    if reader.diagnostics:
        raise JobFileError(tuple(reader.diagnostics))
    return Source(name, path, bundled, text, data, reader.positions)


def _error(name: str, at: tuple[int, int], message: str, hint: str) -> JobFileError:
    return JobFileError((diagnostic_at(name, at, (), message, hint),))


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _content(path: Path, name: str) -> str:
    try:
        raw = _bytes(path)
    except OSError as error:
        message = f"cannot read the file: {error.strerror or error}"
        raise _error(name, (0, 0), message, _advice(path, error)) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode()
        at = before.count("\n") + 1, len(before) - before.rfind("\n")
        utf16 = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
        message = "this is UTF-16" if utf16 else f"the byte 0x{raw[error.start]:02X} is not UTF-8"
        raise _error(name, at, message, "save the file as UTF-8") from error
    return io.StringIO(text, newline=None).read()


def _bytes(path: Path) -> bytes:
    """Return the content of a file; opening a FIFO would wait for its other end.

    Raises:
        UnsafeFile: It is a FIFO or a device.
        OSError: It cannot be read.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UnsafeFile(path, "it is not a regular file")
    return path.read_bytes()


def _advice(path: Path, error: OSError) -> str:
    match error:
        case UnsafeFile():
            return "write the jobs into a regular file"
        case IsADirectoryError():
            return "name a file in it"
        case PermissionError():
            return f"user id {os.geteuid()} needs permission to read it"
        case FileNotFoundError() if not path.parent.is_dir():
            return f"there is no folder {path.parent}"
        case FileNotFoundError():
            meant = file_beside(path)
            return f"did you mean `{path.with_name(meant)}`?" if meant else ""
        case _:
            return ""


def file_beside(path: Path) -> str | None:
    """Return the name of an existing job file that may be meant by a missing one."""
    try:
        beside = {one.stem: one.name for one in path.parent.iterdir() if one.suffix in SUFFIXES}
    except (OSError, ValueError):  # the folder is not there, or has NUL in its name
        return None
    # Names are compared without their suffix, which would make short names similar.
    meant = closest(path.stem, beside)
    return beside[meant] if meant else None


def scalar(text: str) -> Any:
    """Read a text as a YAML scalar: a number, a boolean, null, or text.

    Example:
        >>> [scalar(text) for text in ("5", "true", "", "2026-11-22", "'5'", "a: b")]
        [5, True, None, '2026-11-22', '5', 'a: b']

    Raises:
        ValueError: It is a number that JSON does not have: infinite, or too large.
    """
    stripped = text.strip()
    if stripped[:1] in ("'", '"'):
        try:
            node = compose(stripped)
        except InvalidText:
            return text
        return node.value if isinstance(node, Scalar) else text
    tag = plain_tag(stripped)
    value = scalar_value(tag, stripped) if tag in KINDS else text
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(text)
    return value


class Reader:
    """Reads one text; `diagnostics` say what is wrong with it, `positions` where each part is."""

    def __init__(self, name: str) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.positions: dict[DocumentPath, Position] = {}
        self._name = name

    def read(self, text: str) -> Any:
        """Return the document; None for an empty one, and for a text that is not YAML."""
        try:
            node = compose(text)
        except InvalidText as error:
            self._report(error.at, (), str(error), error.hint)
            return None
        return None if node is None else self._build(node, (), node)

    def _build(self, node: Node, path: DocumentPath, key: Node) -> Any:
        self.positions[path] = Position(node.line, node.column, key.line, key.column, node.style)
        if type(node) is Scalar:
            return _text(node) if node.tag in TEXTS else self._scalar(node, path)
        if node.tag == _MAP and type(node) is composer.Mapping:
            return self._map(node, path)
        if node.tag == _LIST and type(node) is Sequence:
            return [self._build(part, (*path, at), part) for at, part in enumerate(node.value)]
        return self._unknown_tag(node, path)

    def _scalar(self, node: Scalar, path: DocumentPath) -> Any:
        if node.tag not in KINDS:
            return self._unknown_tag(node, path)
        try:
            return scalar_value(node.tag, node.value)
        except ValueError:
            message = f"`{node.value[:40]}` is not a valid {KINDS[node.tag]}"
            return self._report(_at(node), path, message, "quote it, and write no tag")

    def _map(self, node: composer.Mapping, path: DocumentPath) -> dict[str, Any]:
        built: dict[str, Any] = {}
        merged: list[tuple[Node, Node]] = []
        for key, value in node.value:
            if key.tag == _MERGE:
                merged += self._pairs(value, path)
                continue
            if node.in_flow and _lacks_a_space(key, value):
                hint = "put a space after the colon, or quote the key"
                self._report(_at(key), path, f"the key `{key.value}` has no value", hint)
                continue
            name = self._name_of(key, path)
            inner = (*path, name)
            if name in built:
                hint = f"remove one of them; the first is on line {self.positions[inner].key_line}"
                self._report(_at(key), inner, f"duplicate key `{name}`", hint)
            else:
                built[name] = self._build(value, inner, key)
        for key, value in merged:
            if (name := self._name_of(key, path)) not in built:
                built[name] = self._build(value, (*path, name), key)
        return built

    def _pairs(self, node: Node, path: DocumentPath) -> Iterator[tuple[Node, Node]]:
        """Yield the pairs that a merge key (``<<``) adds, from one map or from a list of maps."""
        for part in node.value if isinstance(node, Sequence) else [node]:
            if not isinstance(part, composer.Mapping):
                hint = "name the anchor of one: `<<: *anchor`"
                self._report(_at(part), path, "`<<` takes a map or a list of maps", hint)
                continue
            yield from (pair for pair in part.value if pair[0].tag != _MERGE)
            for key, value in part.value:
                if key.tag == _MERGE:
                    yield from self._pairs(value, path)

    def _name_of(self, key: Node, path: DocumentPath) -> str:
        if isinstance(key, Scalar):
            if key.tag in TEXTS:
                return _text(key)
            if key.value:
                self._report(_at(key), path, f"the key `{key.value}` is not a string", "quote it")
            else:
                self._report(_at(key), path, "a key is missing before the colon", "write one")
        elif isinstance(key, composer.Mapping):
            self._report(_at(key), path, "a map cannot be a key", QUOTE_TEMPLATES)
        else:
            self._report(_at(key), path, "a list cannot be a key", "write a string")
        return str(key.value)

    def _unknown_tag(self, node: Node, path: DocumentPath) -> None:
        tag = node.tag.replace(TAG, "!!")
        hint = "remove it" if tag.startswith("!!") else "remove it, or quote the text"
        self._report(_at(node), path, f"the tag `{tag}` is not supported", hint)

    def _report(self, at: tuple[int, int], path: DocumentPath, message: str, hint: str) -> None:
        self.diagnostics.append(diagnostic_at(self._name, at, path, message, hint))


def _lacks_a_space(key: Node, value: Node) -> bool:
    """Whether a pair was written as ``{name:value}``, which is only a key."""
    if not isinstance(value, Scalar) or value.value or not isinstance(key, Scalar):
        return False
    return value.style is None and key.style is None and bool(_NO_SPACE.match(key.value))


def _text(node: Scalar) -> str:
    text: str = node.value
    if not text.isascii() and _SURROGATE.search(text):  # JSON escapes characters above U+FFFF twice
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return text


def _at(node: Node) -> tuple[int, int]:
    return node.line, node.column
