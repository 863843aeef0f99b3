"""Places: each a storage that a test, module or session has for itself, and what is open there."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from ojobchannels.channel import Channel
from ojobchannels.errors import ChannelError, NotSupported
from ojobchannels.opening import open_channel

if TYPE_CHECKING:
    from ojobchannels.manager import JobManager
    from ojobchannels.testing.processes import Server

STEM: Final = "ojobtest-"
"""How the names begin that keep the tests apart on a server: prefixes of keys, databases."""

_IN_MEMORY: Final = "simple"


class Place:
    """A storage of one channel type, empty at first. What is opened on it is closed with it.

    Calling it opens a channel, as `open_channel` does.

    Args:
        type: The channel type.
        options: What opens it, but for the clock.
        clock: What judges the leases, if the type takes a clock.
        server: The process of the server that it is on, if the tests started one.

    Attributes:
        type: The channel type.
        server: The server's process, to stop, kill and start again; None where there is no server,
            or where it is not ours. It runs again when the test is over.
    """

    def __init__(
        self,
        type: str,
        options: Mapping[str, Any],
        *,
        clock: object = None,
        server: Server | None = None,
    ) -> None:
        self.type = type
        self.server = server
        self._options = dict(options)
        self._clock = {} if clock is None else {"clock": clock}
        self._token = secrets.token_hex(6)
        self._names: set[str] = set()
        self._opened = ExitStack()

    @property
    def config(self) -> dict[str, Any]:
        """What other code, or another process, opens channels here with.

        In memory, a channel is found by its `name` alone, which `open_channel` makes unique.
        """
        return {"type": self.type, "args": dict(self._options)}

    @property
    def url(self) -> str:
        """The same as a URL."""
        if "url" in self._options:
            return str(self._options["url"])
        if self.type == _IN_MEMORY:
            return "simple://"
        scheme = {"file": "file://", "db": "sqlite:///"}.get(self.type)
        if scheme is None:
            raise NotSupported(self._token, f"a URL of type {self.type!r}", "use config instead")
        return scheme + quote(self._options["file"])

    def open_channel(
        self, name: str | None = None, *, extensions: Iterable[object] = (), **options: Any
    ) -> Channel:
        """Opens one more handle on the channel of that name.

        Args:
            name: The channel, as the caller calls it or as an open one tells; without a name it is
                that of `ojob_channel`.
            extensions: As for `ojobchannels.open_channel`.
            options: Further options of the channel type.
        """
        unique = self._unique(name)
        args = {**self._options, **self._clock, **options}
        channel = open_channel(unique, {"type": self.type, "args": args}, extensions=extensions)
        self._names.add(unique)
        self._opened.callback(channel.close)
        return channel

    __call__ = open_channel

    def open_manager(self, **options: Any) -> JobManager:
        """Opens a job manager whose channels are here; the second one sees the first one's runs.

        Args:
            options: ``threads`` and ``on_failure``, as for `ojobchannels.JobManager`.
        """
        from ojobchannels.manager import JobManager
        from ojobchannels.manager.core import JOBS, LOCKS, STATE

        jobs, locks, state = (self.open_channel(name) for name in (JOBS, LOCKS, STATE))
        manager = JobManager(jobs, locks, state=state, **options)
        self._opened.callback(manager.close)
        return manager

    def close(self) -> None:
        """Closes all that was opened, the last first."""
        self._opened.close()

    def destroy(self) -> None:
        """Removes the documents of all channels that were opened."""
        for name in self._names:
            with suppress(ChannelError), open_channel(name, self.config) as channel:
                channel.destroy()

    def _unique(self, name: str | None) -> str:
        if name is None:
            return f"test-{self._token}"
        is_told = name.endswith(f"-{self._token}")  # by a channel that was opened here
        return name if is_told or self.type != _IN_MEMORY else f"{name}-{self._token}"

    def __repr__(self) -> str:
        return f"<Place of type {self.type!r}>"
