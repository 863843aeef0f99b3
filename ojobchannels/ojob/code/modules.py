"""The Python modules under `code` in job files, which the blocks of the files can import."""

import ast
import builtins
import linecache
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import PurePosixPath
from types import CodeType, ModuleType
from typing import Any, Final

from ojobchannels.errors import JobFileError
from ojobchannels.ojob.code.python import SYNTAX_ERRORS
from ojobchannels.ojob.code.registry import register, unregister
from ojobchannels.ojob.code.source_map import CodeLines
from ojobchannels.ojob.yaml.source import DocumentPath, Source

SUFFIX: Final = ".py"


def module_name(file: str) -> str | None:
    """Return the name by which a file such as ``helpers.py`` is imported, or None for another."""
    path = PurePosixPath(file)
    return path.stem if path.suffix == SUFFIX and file.isascii() and _is_name(path) else None


def _is_name(path: PurePosixPath) -> bool:
    return path.stem.isidentifier() and len(path.parts) == 1


def compile_module(source: Source, path: DocumentPath, text: str) -> CodeType:
    """Compile the module at `path`, so that tracebacks show its lines.

    Raises:
        JobFileError: It is not valid Python.
    """
    lines = CodeLines(source, path, text)
    try:
        tree = ast.parse(lines.padded, lines.name)
        lines.shift_columns(tree)
        code: CodeType = compile(tree, lines.name, "exec", dont_inherit=True)
    except SYNTAX_ERRORS as error:
        raise JobFileError((lines.diagnostic(error),)) from None
    linecache.cache[lines.name] = lines.linecache_entry
    return code


class Modules:
    """The modules of one run; each is executed once, at its first import.

    Only the `import` of the run's own blocks finds them, so that two runs in one process, or a
    reloaded file, do not get each other's modules. They are registered in `sys.modules` too, where
    dataclasses, type hints and pickle look for them: under a name of their own if theirs is in use.

    Attributes:
        builtins: The builtins for blocks that can import the modules.
    """

    def __init__(self, codes: Mapping[str, CodeType]) -> None:
        self._codes = codes
        self._loaded: dict[str, ModuleType] = {}
        self._lock = threading.RLock()
        self._versions = [self]
        self.builtins: dict[str, Any] = vars(builtins) | {"__import__": self._import}

    def replaced_by(self, codes: Mapping[str, CodeType]) -> "Modules":
        """Return the modules of a new version of the file; the blocks of this one keep theirs."""
        modules = Modules(codes)
        modules._versions = self._versions
        self._versions.append(modules)
        return modules

    def close(self) -> None:
        """Remove the modules of all versions from `sys.modules`, after all blocks have ended."""
        for version in self._versions:
            for module in version._loaded.values():
                unregister(module)

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level == 0 and name in self._codes:
            return self._load(name)
        return builtins.__import__(name, globals, locals, fromlist or (), level)

    def _load(self, name: str) -> ModuleType:
        with self._lock:
            if name not in self._loaded:
                is_installed = name in sys.modules or find_spec(name) is not None
                module = self._loaded[name] = register(name, is_taken=is_installed)
                vars(module)["__builtins__"] = self.builtins
                try:
                    exec(self._codes[name], vars(module))  # noqa: S102  a job file is code
                except BaseException:
                    unregister(self._loaded.pop(name))
                    raise
            return self._loaded[name]
