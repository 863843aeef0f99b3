"""The page as a server of its own, for the command ``ojob web``."""

import signal
import socket
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from ojobchannels.channels.channel import Channel
from ojobchannels.manager import JobManager
from ojobchannels_web.app import create_app
from ojobchannels_web.settings import LOOPBACK_HOSTS, is_loopback, parse_tokens
from ojobchannels_web.view.watcher import Watcher

_GRACE_SECONDS = 2


class InvalidSetting(Exception):
    """The page cannot be served with these options; the message says what to do."""


@dataclass(frozen=True)
class Address:
    """Where the page is served: at a host and port, or at a Unix socket."""

    host: str
    port: int
    unix_socket: str | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this host can reach it."""
        return self.unix_socket is not None or is_loopback(self.host)


def serve(
    manager: JobManager,
    address: Address,
    *,
    allow: Collection[str] = (),
    token_file: str | None = None,
    user_header: str | None = None,
    allowed_hosts: Collection[str] = (),
    channels: Mapping[str, Channel] | None = None,
    listening: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve the page until SIGINT or SIGTERM; `listening` gets its address once it serves.

    Raises:
        InvalidSetting: The options contradict each other, or the address cannot be used.
    """
    tokens = read_tokens(token_file)
    if not address.is_loopback and not tokens:
        raise InvalidSetting(
            f"{address.host} can be reached from other hosts, so people must log in: use "
            "--token-file FILE, or serve on 127.0.0.1 behind a proxy that knows its users"
        )
    hosts = {*LOOPBACK_HOSTS, *allowed_hosts}
    if address.host not in ("0.0.0.0", "::"):  # noqa: S104  compared, not bound
        hosts.add(address.host)
    try:
        app = create_app(
            manager,
            allow=allow,
            tokens=tokens,
            user_header=user_header,
            allowed_hosts=hosts,
            login_to_read=not address.is_loopback or user_header is not None,
            channels=channels,
        )
    except ValueError as error:
        raise InvalidSetting(str(error)) from error
    config = uvicorn.Config(
        app,
        host=address.host,
        port=address.port,
        uds=address.unix_socket,
        proxy_headers=False,  # the address of the peer decides whether its header is believed
        server_header=False,
        access_log=False,
        log_level="warning",
        ws="none",
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    if address.unix_socket is not None:
        shown = address.unix_socket
        PageServer(config, app.state.watcher, lambda: listening(shown)).run()
        return
    with listen(address) as found:
        host = f"[{address.host}]" if ":" in address.host else address.host
        url = f"http://{host}:{found.getsockname()[1]}/"
        PageServer(config, app.state.watcher, lambda: listening(url)).run(sockets=[found])


def read_tokens(path: str | None) -> dict[str, str]:
    """Return the tokens of a file, each with its author.

    Raises:
        InvalidSetting: The file cannot be read, has no token, or others may read it.
    """
    if path is None:
        return {}
    try:
        file = Path(path)
        if file.stat().st_mode & 0o007:
            raise InvalidSetting(f"everybody on this host may read {path}: run chmod o-rwx {path}")
        return parse_tokens(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidSetting(f"the tokens in {path!r} cannot be used: {error}") from error


class PageServer(uvicorn.Server):
    """Calls `ready` once it serves, and ends the streams of events, for which it would wait."""

    def __init__(
        self, config: uvicorn.Config, watcher: Watcher, ready: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(config)
        self._watcher = watcher
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Prepare the application, then serve."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGINT and SIGTERM, which are a regular end: they are not raised again."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {each: signal.signal(each, self.handle_exit) for each in signals}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then everything else."""
        self._watcher.stop()
        await super().shutdown(sockets)


def listen(address: Address) -> socket.socket:
    """Return a socket that listens at a host and port; port 0 is any that is free.

    Raises:
        InvalidSetting: The address cannot be used.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    host = address.host.strip("[]")
    try:
        return socket.create_server((host, address.port), family=family, backlog=128)
    except OSError as error:
        raise InvalidSetting(
            f"cannot listen on {address.host}:{address.port}: {error.strerror or error}; "
            "choose another --host or --port"
        ) from error
