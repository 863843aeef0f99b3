"""What the kit proves: one storage of a channel type, with any number of handles on it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.opening import open_channel
from ojobchannels.errors import ChannelError
from ojobchannels.hookspecs import ChannelType
from ojobchannels.host.clock import Clock
from ojobchannels.plugins import registry

if TYPE_CHECKING:
    from ojobchannels.testing.kit.trace import Story


class Subject:
    """A storage, empty at first, in which each test has a channel of its own.

    Args:
        type: The channel type.
        options: What opens it; all of JSON, so that other processes can open it too.
        name: The channel's name; a new one by default.
        label: What reports call it; the type by default.

    Attributes:
        opened: The handles that `open` answered.
        clock: What the handles judge leases by, if the type takes a clock; the kit sets it.
        story: What notes the operations of the handles; the kit sets it.
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
        self.story: Story | None = None

    @property
    def channel_type(self) -> ChannelType:
        """What its plugin says of the type."""
        return registry().find(self.type)

    @cached_property
    def capabilities(self) -> frozenset[str]:
        """What an open channel claims."""
        with open_channel(self.name, self.config) as channel:
            return channel.capabilities

    @property
    def config(self) -> dict[str, Any]:
        """What another process opens the storage with."""
        return {"type": self.type, "args": self.options}

    def open(
        self, name: str | None = None, *, extensions: Iterable[object] = (), **options: Any
    ) -> Channel:
        """Opens one more handle, which `lent` closes."""
        if self.clock is not None:
            options = {"clock": self.clock} | options
        if self.story is not None:
            # First of all, so that it stands next to the backend and sees what that answers.
            extensions = (self.story.of_a_handle(name), *extensions)
        channel = open_channel(
            name or self.name,
            {"type": self.type, "args": self.options | options},
            extensions=extensions,
        )
        self.opened.append(channel)
        return channel

    @contextmanager
    def lent(self) -> Iterator[Subject]:
        """At the end closes what was opened, and removes the documents."""
        with ExitStack() as stack:
            stack.callback(self._clear)
            yield self
            for channel in self.opened:
                stack.callback(channel.close)

    def _clear(self) -> None:
        for name in {channel.name for channel in self.opened}:
            with suppress(ChannelError), open_channel(name, self.config) as channel:
                channel.destroy()
