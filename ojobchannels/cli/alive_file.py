"""The life sign of a daemon for what supervises it, such as the probes of a container."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from ojobchannels.cli.errors import CommandError
from ojobchannels.ojob import Control
from ojobchannels.ojob.daemon.daemon import Request

_TOUCH_SECONDS: Final = 1.0


class AliveFile(Control):
    """Touches a file while the main loop of the daemon that it controls is working.

    The file is made when the todo is over and the schedules run, and removed at the end.

    Args:
        path: The file; one that is left from a killed daemon is removed.

    Raises:
        CommandError: The file cannot be written.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._touch_at = 0.0
        try:
            self.remove()
            with TemporaryFile(dir=Path(path).parent):  # it can be made there, but not yet
                pass
        except OSError as error:
            reason = f"cannot write the alive file {path!r}: {error.strerror}"
            raise CommandError(f"{reason}; name a file in a folder that exists") from error

    def next(self, seconds: float, check: Callable[[], None] = lambda: None) -> Request | None:
        """Wait for the next request, and touch the file meanwhile."""

        def touch_and_check() -> None:
            if time.monotonic() >= self._touch_at:
                self._touch_at = time.monotonic() + _TOUCH_SECONDS
                with suppress(OSError):  # what supervises the daemon finds the file too old
                    self._touch()
            check()

        return super().next(seconds, touch_and_check)

    def remove(self) -> None:
        """Remove the file."""
        Path(self._path).unlink(missing_ok=True)

    def _touch(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, 0o644)
        try:
            os.utime(descriptor)
        finally:
            os.close(descriptor)
