"""Backends that are broken on purpose, each by one defect: the kit has to fail all of them.

Each is the type `simple`, or `file`, with a few lines changed. A class's name is its channel type,
its docstring the defect, and `caught_by` names promises that fail on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import ojobchannels as oc
from ojobchannels.backends.file.backend import FileBackend, open_backend
from ojobchannels.backends.simple import backend
from ojobchannels.backends.simple.backend import SimpleBackend
from ojobchannels.hookspecs import ChannelSpec

BROKEN: list[type[Broken]] = []


class Broken:
    """What turns a subclass into a channel type of its own."""

    caught_by: ClassVar[str]
    type: ClassVar[str]
    capabilities_of: ClassVar[str] = "simple"

    def __init_subclass__(cls) -> None:
        for name, method in vars(cls).items():
            if not name.startswith("_") and hasattr(ChannelSpec, name):
                oc.hookimpl(method)
        if "caught_by" in vars(cls):
            cls.type = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower()
            BROKEN.append(cls)


class BrokenSimple(Broken, SimpleBackend):
    """One that keeps all in memory."""

    @classmethod
    def open(cls, channel: str, options: Mapping[str, Any]) -> object:
        store = backend._stores.setdefault(channel, backend._Store())
        return cls(channel, store, **options)


class BrokenFile(Broken, FileBackend):
    """One that keeps all in a file."""

    capabilities_of = "file"

    @classmethod
    def open(cls, channel: str, options: Mapping[str, Any]) -> object:
        opened = open_backend(channel, **options)
        opened.__class__ = cls
        return opened


@oc.hookimpl
def ojobchannels_channel_types() -> Iterable[oc.ChannelType]:
    """Offers them all."""
    import broken_documents
    import broken_locks
    import broken_processes

    from ojobchannels import backends

    assert [broken_documents, broken_locks, broken_processes]
    known = {one.name: one for one in backends.ojobchannels_channel_types()}
    return [
        oc.ChannelType(
            name=cls.type,
            summary=cls.__doc__ or "",
            open=cls.open,  # type: ignore[attr-defined]  # both bases have it
            options=known[cls.capabilities_of].options,
            capabilities=known[cls.capabilities_of].capabilities,
        )
        for cls in BROKEN
    ]
