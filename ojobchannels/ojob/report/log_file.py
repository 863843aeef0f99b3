"""``ojob.logToFile``: log files by date; past ones are compressed, moved and finally removed."""

import fcntl
import os
import re
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from ojobchannels.errors import LogFileUnavailable, NoThread
from ojobchannels.host.files import UnsafeFile, is_trusted, open_regular
from ojobchannels.manager.local_launches.pool import start
from ojobchannels.ojob.report.console import put
from ojobchannels.ojob.report.events import Event, Sink, now
from ojobchannels.ojob.report.past_logs import Rules, tidy
from ojobchannels.ojob.schema.date_format import DateFormat, filled, matching
from ojobchannels.ojob.schema.settings import LogToFileSpec

_ATTEMPTS: Final = 100
_LONGEST_WAIT: Final = 2.0
_PAUSE: Final = 0.01
_TYPES: Final = {"info": "INFO", "warn": "WARN", "error": "ERROR"}


class LogFiles:
    """The log files that the settings under ``ojob.logToFile`` describe.

    Attributes:
        folder: The folder of the current file.
        past: What happens to past files.
    """

    def __init__(self, spec: LogToFileSpec) -> None:
        self.folder = Path(spec.folder).absolute()
        backup = Path(spec.backup).absolute() if spec.backup else None
        self.past = Rules(self.is_ours, spec.keep, not spec.dont_compress, backup)
        self._name, self._line = spec.name, spec.line
        self._name_date, self._line_date = DateFormat(spec.name_date), DateFormat(spec.line_date)
        past = matching(spec.name, timedate=self._name_date.matches)
        self._past = re.compile(spec.past) if spec.past else past

    def path(self, at: datetime) -> Path:
        """Return the path of the file for a time."""
        return self.folder / filled(self._name, timedate=self._name_date.write(at))

    def written(self, event: Event) -> str:
        """Return the lines of an event, one for each line of its text."""
        event = event.printable()
        when, type = self._line_date.write(event.at), _TYPES[event.level]
        parts = {"timedate": when, "type": type, "job": event.job, "id": event.id or ""}
        lines = (filled(self._line, **parts, message=text) for text in event.text.split("\n"))
        return "".join(lines)

    def is_ours(self, name: str) -> bool:
        """Return whether a file name is that of a log file, compressed or not."""
        return self._past.fullmatch(name.removesuffix(".gz")) is not None


class LogFile(Sink):
    """Writes events to the file of their date.

    Several processes may write to one folder: each event is appended with one write, and a file
    that a process has open is not compressed, moved or removed.

    Raises:
        LogFileUnavailable: The first file cannot be opened.
    """

    def __init__(self, files: LogFiles) -> None:
        self._files = files
        self._failed = False
        self._cleaner: threading.Thread | None = None
        self._path = files.path(now())
        self._number = _opened(self._path)
        self._tidy()

    def emit(self, event: Event) -> None:
        """Write one event; if that fails, drop it and report the first such error on stderr."""
        try:
            path = self._files.path(event.at)
            if path != self._path or not self._is_current():
                self._switch_to(path)
            text = self._files.written(event).encode("utf-8", "backslashreplace")
            while text:
                text = text[os.write(self._number, text) :]
            self._failed = False
        except OSError as error:
            self._report(error)

    def close(self) -> None:
        """Close the file, after past files have been cleaned up."""
        if self._cleaner is not None:
            self._cleaner.join()
        os.close(self._number)

    def _is_current(self) -> bool:
        """Return whether the path still leads to the open file; other programs may rotate it."""
        try:
            return os.path.samestat(os.lstat(self._path), os.fstat(self._number))
        except FileNotFoundError:
            return False

    def _switch_to(self, path: Path) -> None:
        """Continue in another file."""
        is_new = path != self._path
        number, previous = _opened(path), self._number
        self._number, self._path = number, path
        os.close(previous)
        if is_new:
            self._tidy()

    def _tidy(self) -> None:
        if self._cleaner is not None:
            self._cleaner.join()
            self._cleaner = None
        cleaner = threading.Thread(
            target=tidy, args=(self._files.past, self._path), name="ojobchannels-log-files"
        )
        with suppress(NoThread):  # the next file, or the next run, tries again
            start(cleaner, "cleaning up log files")
            self._cleaner = cleaner

    def _report(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            put(f"ojob: log lines are lost: {_unavailable(self._path, error)}\n", sys.stderr)


def _opened(path: Path) -> int:
    """Open a file and lock it, so that no process cleans it up meanwhile."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for _ in range(_ATTEMPTS):
                number = _opened_in(folder, path)
                if os.fstat(number).st_nlink:
                    return number
                os.close(number)
        finally:
            os.close(folder)
        raise UnsafeFile(path, "other programs keep deleting it")
    except OSError as error:
        raise _unavailable(path, error) from error


def _opened_in(folder: int, path: Path) -> int:
    own = os.fstat(folder)
    only_ours = own.st_uid in (os.geteuid(), 0) and not own.st_mode & 0o022
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    number = open_regular(path.name, flags, 0o666, within=folder, links=only_ours)
    try:
        if not is_trusted(os.fstat(number), own):
            raise UnsafeFile(path, "it is the file of another user")
        _lock(number)
    except BaseException:
        os.close(number)
        raise
    return number


def _lock(number: int) -> None:
    """Lock a file for a time in which it is written; a program that locks it cannot stop the run.

    Without the lock, another process may clean up the file, and the next line begins a new one.
    """
    ends = time.monotonic() + _LONGEST_WAIT
    while time.monotonic() < ends:
        try:
            fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE)
        else:
            return


def _unavailable(path: Path, error: OSError) -> LogFileUnavailable:
    if isinstance(error, LogFileUnavailable):
        return error
    return LogFileUnavailable(str(path), error.strerror or str(error))
