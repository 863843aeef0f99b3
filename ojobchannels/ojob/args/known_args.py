"""The args that a job knows: those that bundled jobs take, and those that its code reads."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from itertools import chain
from typing import Any, Final, NamedTuple

from ojobchannels.errors import InvalidJobArgs
from ojobchannels.ojob.args.pack_args import ArgType
from ojobchannels.ojob.args.pack_jobs import PACK_JOBS
from ojobchannels.ojob.args.rules import Rule
from ojobchannels.ojob.args.templates import template_names
from ojobchannels.suggestions import closest, is_slip

_WORD: Final = re.compile(r"\w+")
_WHOLE: Final = {
    "python": re.compile(r"\bargs\b(?!\s*\[\s*[rbf]?['\"]|\.(?:get|pop|setdefault)\(\s*['\"])"),
    "js": re.compile(r"\bargs\b(?!\s*\??\.\s*[A-Za-z_$]|\s*\[\s*['\"`])"),
}
"""Matches code that uses all args, by a language in which they are a map of this name."""


class KnownArgs(NamedTuple):
    """The args that a job and its parts know.

    Attributes:
        types: Those that bundled jobs declare, by name, each with all its types.
        names: The others that are declared, such as by `check.in`.
        words: The words in code: what it reads is among them.
        reads_all: Whether code uses the map of args as a whole.
    """

    types: Mapping[str, tuple[ArgType, ...]] = {}
    names: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    reads_all: bool = False

    @classmethod
    def of_pack_job(cls, name: str) -> KnownArgs:
        """Return the args of a bundled job."""
        job = PACK_JOBS[name]
        return cls({arg: (type,) for arg, type in job.types.items()}, reads_all=job.reads_others)

    @classmethod
    def of_code(cls, text: str, language: str) -> KnownArgs:
        """Return the args that code may read; those of an unknown language are all."""
        whole = _WHOLE.get(language)
        reads_all = bool(text.strip()) and (whole is None or whole.search(text) is not None)
        return cls(words=frozenset(_WORD.findall(text)), reads_all=reads_all)

    @classmethod
    def of_rules(cls, rules: Iterable[str]) -> KnownArgs:
        """Return the args that a job declares under `check`."""
        return cls(names=frozenset(Rule.path_of(name)[0] for name in rules))

    @classmethod
    def of_templates(cls, value: Any) -> KnownArgs:
        """Return the args that templates in a value use."""
        return cls(names=frozenset(template_names(value)))

    @classmethod
    def joined(cls, parts: Iterable[KnownArgs]) -> KnownArgs:
        """Return the args that any of several parts knows."""
        parts = list(parts)
        if len(parts) == 1:
            return parts[0]
        types: dict[str, tuple[ArgType, ...]] = {}
        for name, more in chain.from_iterable(part.types.items() for part in parts):
            types[name] = tuple(dict.fromkeys((*types.get(name, ()), *more)))
        return cls(
            types,
            frozenset().union(*(part.names for part in parts)),
            frozenset().union(*(part.words for part in parts)),
            any(part.reads_all for part in parts),
        )

    def hint_for_unknown(self, arg: str, beside: Container[str]) -> str | None:
        """Return what to do about an arg that is not known, or None if it is.

        Code that uses all args may read any: then only what looks like another arg that is not
        there, by a slip of the pen, is not known.
        """
        if not self.types or arg in self.types or arg in self.names or self._reads(arg):
            return None
        if self.reads_all:
            absent = (name for name in (*self.types, *sorted(self.names)) if name not in beside)
            meant = next((name for name in absent if is_slip(arg, name)), None)
            return f"did you mean `{meant}`?" if meant else None
        known = sorted({*self.types, *self.names})
        if meant := closest(arg, known):
            return f"did you mean `{meant}`?"
        listed = ", ".join(f"`{name}`" for name in known) or "none"
        return f"known: {listed}; others must be read in the code, or declared under `check.in`"

    def _reads(self, arg: str) -> bool:
        if arg in self.words:
            return True
        name = re.sub(r"\W", "_", arg)  # as a variable of the shell, or a part of one
        return any(word == name or word.startswith(f"{name}_") for word in self.words)

    def check(self, where: str, args: Iterable[str], what: str) -> None:
        """Check the names of args that were passed to a running job file.

        Raises:
            InvalidJobArgs: One of them is not known.
        """
        args = list(args)
        for arg in args:
            if (hint := self.hint_for_unknown(arg, args)) is not None:
                raise InvalidJobArgs(where, what.format(arg), hint)
