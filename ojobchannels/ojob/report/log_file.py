"""``ojob.logToFile``: log files by date; past ones are compressed, moved and finally removed."""

import fcntl
import gzip
import os
import re
import shutil
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from ojobchannels.errors import LogFileUnavailable
from ojobchannels.ojob.report.console import put
from ojobchannels.ojob.report.events import Event, Sink, now
from ojobchannels.ojob.schema.date_format import DateFormat, filled, matching
from ojobchannels.ojob.schema.settings import LogToFileSpec

_TYPES: Final = {"info": "INFO", "warn": "WARN", "error": "ERROR"}


class LogFiles:
    """The log files that the settings under ``ojob.logToFile`` describe.

    Attributes:
        folder: The folder of the current file.
        keep: Minutes after which past files are removed; None for never.
        compress: Whether past files are compressed with gzip.
        backup: The folder to which past files are moved; None for the same one.
    """

    def __init__(self, spec: LogToFileSpec) -> None:
        self.folder = Path(spec.folder)
        self.keep = spec.keep
        self.compress = not spec.dont_compress
        self.backup = Path(spec.backup) if spec.backup else None
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
            if path != self._path or os.fstat(self._number).st_nlink == 0:
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

    def _switch_to(self, path: Path) -> None:
        """Continue in another file."""
        number, previous = _opened(path), self._number
        self._number, self._path = number, path
        os.close(previous)
        self._tidy()

    def _tidy(self) -> None:
        if self._cleaner is not None:
            self._cleaner.join()
        self._cleaner = threading.Thread(
            target=tidy, args=(self._files, self._path), name="ojobchannels-log-files"
        )
        self._cleaner.start()

    def _report(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            put(f"ojob: log lines are lost: {_unavailable(self._path, error)}\n", sys.stderr)


def tidy(files: LogFiles, present: Path) -> None:
    """Compress, move and remove past files, except those in use or not accessible."""
    for folder in {files.folder, files.backup or files.folder}:
        for path in _listed(folder):
            if path.name != present.name and files.is_ours(path.name):
                with suppress(OSError):
                    _tidy_one(files, path)


def _tidy_one(files: LogFiles, path: Path) -> None:
    with path.open("rb") as source:
        fcntl.flock(source, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if files.keep is not None and path.stat().st_mtime < time.time() - files.keep * 60:
            path.unlink()
            return
        folder = files.backup or path.parent
        folder.mkdir(parents=True, exist_ok=True)
        if files.compress and path.suffix != ".gz":
            target = folder / f"{path.name}.gz"
            _compress(path, target)
            path.unlink()
        elif folder != path.parent:
            shutil.move(path, folder / path.name)


def _compress(path: Path, target: Path) -> None:
    """Append a file to a compressed one, which is replaced atomically."""
    partial = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        with partial.open("xb") as raw:
            if target.exists():  # lines that were written late; gzip files can be concatenated
                raw.write(target.read_bytes())
            with path.open("rb") as source, gzip.GzipFile(path.name, "wb", fileobj=raw) as packed:
                shutil.copyfileobj(source, packed)
        shutil.copystat(path, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _opened(path: Path) -> int:
    """Open a file and lock it, so that no process cleans it up meanwhile."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            fcntl.flock(number, fcntl.LOCK_SH)
            if os.fstat(number).st_nlink:
                return number
            os.close(number)
    except OSError as error:
        raise _unavailable(path, error) from error


def _listed(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(folder.iterdir())
    return []


def _unavailable(path: Path, error: OSError) -> LogFileUnavailable:
    return LogFileUnavailable(str(path), error.strerror or str(error))
