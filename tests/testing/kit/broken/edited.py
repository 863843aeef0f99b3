"""Backends made by edits of a real one: each is a copy of its source with a defect."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ojobchannels import backends

_SOURCE = Path(backends.__file__).parent


class Edit(NamedTuple):
    """Text to replace in a module, or in one of a folder; it occurs there exactly once."""

    module: str
    old: str
    new: str


class Mutant(NamedTuple):
    """A copy of the backends with edits, offered as one channel type.

    Attributes:
        type: Name of the channel type.
        defect: What is wrong with it.
        caught_by: The promise of the kit that fails.
        of: The real channel type.
        edits: The edits.
    """

    type: str
    defect: str
    caught_by: str
    of: str
    edits: tuple[Edit, ...]

    @property
    def package(self) -> str:
        """The package with the edited copy."""
        return f"edited_{self.type.replace('-', '_')}"

    def write(self, folder: Path) -> None:
        """Write the package into a folder on the path of the interpreter."""
        texts = {
            str(source.relative_to(_SOURCE)): source.read_text("utf-8")
            for source in _SOURCE.rglob("*.py")
        }
        for edit in self.edits:
            places = [
                module
                for module, text in texts.items()
                if module.startswith(edit.module) and edit.old in text
            ]
            assert len(places) == 1, f"{self.type}: in {places}, not in one module: {edit.old}"
            text = texts[places[0]]
            assert text.count(edit.old) == 1, f"{self.type}: not once in {places[0]}: {edit.old}"
            texts[places[0]] = text.replace(edit.old, edit.new)
        for module, text in texts.items():
            path = folder / self.package / module
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("ojobchannels.backends", self.package), "utf-8")

    def open(self, channel: str, options: Mapping[str, Any]) -> object:
        """Open a channel, as the real type does."""
        module = importlib.import_module(f"{self.package}.{self.of}.backend")
        backend: object = module.open_backend(channel, **options)
        return backend


def mutant(type: str, of: str, defect: str, caught_by: str, *edits: tuple[str, str, str]) -> Mutant:
    """Return a mutant; an edit of `backend.py` is one of the backend's own module."""
    complete = [
        Edit(f"{of}/{module}" if module == "backend.py" else module, old, new)
        for module, old, new in edits
    ]
    return Mutant(type, defect, caught_by, of, tuple(complete))
