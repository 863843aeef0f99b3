"""The page on a free port, for tests."""

import http.client
import threading
from email.message import Message
from typing import Any, NamedTuple
from urllib.parse import urlencode

import uvicorn

from ojobchannels.manager import JobManager
from ojobchannels_web.app import create_app
from ojobchannels_web.serve import Address, PageServer, listen


class Reply(NamedTuple):
    """What the page has answered."""

    status: int
    headers: Message
    text: str


class Site:
    """The page of a manager on a free port of the loopback interface.

    Args:
        manager: The manager.
        app: The application, if it is not to be made from the settings.
        watcher: The watcher to stop at the end, if there is an `app`.
        settings: As in `create_app`.
    """

    def __init__(
        self, manager: JobManager, app: Any = None, watcher: Any = None, **settings: Any
    ) -> None:
        self.app = app or create_app(manager, **settings)
        self._watcher = watcher or self.app.state.watcher
        self._socket = listen(Address("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(self.app, log_level="warning", timeout_graceful_shutdown=2)
        self._server = PageServer(config, self._watcher)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))
        self._thread.start()

    def get(self, path: str, **headers: str) -> Reply:
        """Get a page that shows the present state."""
        self._watcher.refresh()
        return self.request("GET", path, **headers)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Reply:
        """Post a form."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.request("POST", path, urlencode(fields), **form, **headers)

    def request(self, method: str, path: str, body: str | None = None, **headers: str) -> Reply:
        """Send a request, and read the reply whole."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            return Reply(reply.status, reply.headers, reply.read().decode())
        finally:
            connection.close()

    def close(self) -> None:
        """End the server, and wait for its end."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
