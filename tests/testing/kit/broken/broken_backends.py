"""Backends with one defect each, which the conformance kit must detect.

Each is the backend of type `simple` or `file` with a few changes. The name of the class is its
channel type, the docstring is the defect, and `caught_by` names the promises that fail.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import ojobchannels as oc
from ojobchannels.backends.file.backend import FileBackend, open_backend
from ojobchannels.backends.simple import backend
from ojobchannels.backends.simple.backend import SimpleBackend
from ojobchannels.backends.simple.store import Store
from ojobchannels.hookspecs import ChannelSpec

BROKEN: list[type[Broken]] = []


class Broken:
    """Makes a channel type of each subclass."""

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
    """A backend in memory."""

    @classmethod
    def open(cls, channel: str, options: Mapping[str, Any]) -> object:
        store = backend._stores.setdefault(("", channel), Store())
        return cls(channel, store, options["clock"])


class BrokenFile(FileBackend, Broken):
    """A backend in a file."""

    capabilities_of = "file"

    @classmethod
    def open(cls, channel: str, options: Mapping[str, Any]) -> object:
        opened = open_backend(channel, **options)
        opened.__class__ = cls
        return opened
