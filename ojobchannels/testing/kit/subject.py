"""The storage under test: one channel type with its options, and handles on it."""

from __future__ import annotations

import glob
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.opening import open_channel
from ojobchannels.errors import ChannelError
from ojobchannels.hookspecs import ChannelType, Option
from ojobchannels.host.clock import Clock
from ojobchannels.plugins import registry

if TYPE_CHECKING:
    from ojobchannels.testing.kit.trace import Trace

PATH_OPTIONS: Final = ("file", "path", "folder", "directory")
"""Names of options that name a file or folder of the storage."""


def temporary_paths(
    channel_type: ChannelType, options: Mapping[str, Any], folder: Path
) -> dict[str, str]:
    """Return paths in a folder for the options that must name a file or folder, and do not."""
    return {
        option.name: str(folder / f"channel.{channel_type.name}")
        for option in channel_type.options
        if option.required and _names_a_path(option) and option.name not in options
    }


def _names_a_path(option: Option) -> bool:
    return option.is_path or option.name in PATH_OPTIONS


class Subject:
    """An initially empty storage in which each test has a channel of its own.

    Args:
        type: The channel type.
        options: Options of the type; JSON values, so that other processes can open it too.
        name: Name of the channel; unique by default.
        label: Name in reports; the type by default.

    Attributes:
        opened: The handles that `open` returned.
        clock: Judges the leases of the handles, if the type takes a clock; set by the kit.
        trace: Records the operations of the handles; set by the kit.
    """

    def __init__(
        self,
        type: str,
        options: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        label: str | None = None,
    ) -> None:
        self.type = type
        self.options = dict(options or {})
        self.name = name or f"test-{secrets.token_hex(6)}"
        self.label = label or type
        self.opened: list[Channel] = []
        self.clock: Clock | None = None
        self.trace: Trace | None = None

    @property
    def channel_type(self) -> ChannelType:
        """The descriptor of the channel type."""
        return registry().find(self.type)

    @cached_property
    def capabilities(self) -> frozenset[str]:
        """The capabilities that an open channel claims."""
        with open_channel(self.name, self.config) as channel:
            return channel.capabilities

    @property
    def config(self) -> dict[str, Any]:
        """Configuration with which any process can open the storage."""
        return {"type": self.type, "args": self.options}

    def files(self) -> list[Path]:
        """Return the files and folders that an option names, and those beside with longer names."""
        for option in filter(_names_a_path, self.channel_type.options):
            if option.name in self.options:
                path = Path(self.options[option.name])
                return sorted(path.parent.glob(f"{glob.escape(path.name)}*"))
        return []

    def open(
        self, name: str | None = None, *, extensions: Iterable[object] = (), **options: Any
    ) -> Channel:
        """Open one more handle; the kit closes it at the end of the test."""
        if self.clock is not None:
            options = {"clock": self.clock} | options
        if self.trace is not None:
            # Innermost wrapper, so that it records the results of the backend itself.
            extensions = (self.trace.handle_extension(name), *extensions)
        channel = open_channel(
            name or self.name,
            {"type": self.type, "args": self.options | options},
            extensions=extensions,
        )
        self.opened.append(channel)
        return channel

    @contextmanager
    def cleanup(self) -> Iterator[Subject]:
        """Close all handles and remove the documents on exit."""
        with ExitStack() as stack:
            stack.callback(self._clear)
            yield self
            for channel in self.opened:
                stack.callback(channel.close)

    def _clear(self) -> None:
        for name in {channel.name for channel in self.opened}:
            with suppress(ChannelError), open_channel(name, self.config) as channel:
                channel.destroy()
