"""The output of one open run: its first and last lines, in memory until they are stored."""

import os
import threading
from collections import deque
from collections.abc import Callable, Collection
from typing import Any, Final

from ojobchannels.host.clock import now_ms
from ojobchannels.manager.output.lines import LONGEST_LINE, OutputLevel, OutputLimits, RunOutput
from ojobchannels.masking import MASK, mask_text
from ojobchannels.printable import storable

_LINE_COST: Final = 32
"""What a line costs besides its text: its time and its level."""

_LONGEST_KEY: Final = 100
"""The most lines of a private key; what looks like the begin of one may have no end."""


class _Entry:
    """A line; masked when it is stored, which most lines of a long run never are."""

    __slots__ = ("_is_masked", "level", "text", "time")

    def __init__(self, level: OutputLevel, text: str) -> None:
        self.time = now_ms()
        self.level = level
        self.text = text
        self._is_masked = False

    def document(self, secrets: Collection[str]) -> list[Any]:
        if not self._is_masked:
            self.text, self._is_masked = storable(mask_text(self.text, secrets)), True
        return [self.time, self.level, self.text]


class OutputBuffer:
    """Keeps the first and the last lines of a run; the methods never raise and never block.

    Args:
        run: The fields that identify the run: ``runId``, ``name`` and ``startTime``.
        limits: How much is kept.
        secrets: Values that are masked.
        on_change: Called with the buffer after each change.

    Attributes:
        ended: Whether the run has ended.
    """

    def __init__(
        self,
        run: dict[str, Any],
        limits: OutputLimits,
        secrets: Collection[str],
        on_change: "Callable[[OutputBuffer], None]",
    ) -> None:
        self.ended = False
        self.run = run
        self._limits = limits
        self._secrets = secrets
        self._on_change = on_change
        self._process = os.getpid()
        self._first: list[_Entry] = []
        self._last: deque[_Entry] = deque()
        self._room = limits.first
        self._last_size = 0
        self._total = 0
        self._key_lines = 0
        self._unfinished: dict[OutputLevel, str] = {}
        # Reentrant: a signal handler, or a destructor, may print while a line is added.
        self._lock = threading.RLock()

    @property
    def is_open(self) -> bool:
        """Whether lines are added to it: not after the end, and not in a forked child."""
        return not self.ended and self._process == os.getpid()

    def add(self, level: OutputLevel, text: str) -> None:
        """Add the lines of a text."""
        if self.is_open:
            with self._lock:
                for line in text.split("\n"):
                    self._append(level, line)
            self._on_change(self)

    def write(self, level: OutputLevel, text: str) -> None:
        """Add what was written to a stream; a line is kept when it is complete."""
        if not (text and self.is_open):
            return
        with self._lock:
            *lines, rest = (self._unfinished.pop(level, "") + text).split("\n")
            if len(rest) > LONGEST_LINE:
                rest = _overwritten(rest)
            if len(rest) > LONGEST_LINE:
                lines, rest = [*lines, rest], ""
            if rest:
                self._unfinished[level] = rest
            for line in lines:
                self._append(level, _overwritten(line))
        if lines:
            self._on_change(self)

    def end(self) -> None:
        """Take no more lines; what has no line end becomes the last line."""
        if not self.is_open:
            return
        with self._lock:
            for level, text in self._unfinished.items():
                self._append(level, _overwritten(text))
            self.ended = True
        if self._total:
            self._on_change(self)

    def content(self) -> RunOutput | None:
        """Return the output so far."""
        return RunOutput.from_document(self.document())

    def document(self) -> dict[str, Any]:
        """Return the output as it is stored."""
        with self._lock:
            first, last = list(self._first), list(self._last)
            total, ended = self._total, self.ended
        return {
            **self.run,
            "first": [entry.document(self._secrets) for entry in first],
            "last": [entry.document(self._secrets) for entry in last],
            "lines": total,
            "ended": ended,
            "written": now_ms(),
        }

    def _append(self, level: OutputLevel, line: str) -> None:
        if self._key_lines:  # of a private key, which is one secret of several lines
            is_over = "-----END" in line or self._key_lines == _LONGEST_KEY
            self._key_lines = 0 if is_over else self._key_lines + 1
            return
        if "PRIVATE KEY" in line and "-----BEGIN" in line and "-----END" not in line:
            self._key_lines, line = 1, MASK
        self._total += 1
        line = line.rstrip("\r")
        entry = _Entry(level, line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + "…")
        size = len(entry.text) + _LINE_COST
        if not self._last and size <= self._room:
            self._first.append(entry)
            self._room -= size
            return
        self._room = 0
        self._last.append(entry)
        self._last_size += size
        while self._last_size > self._limits.last:
            self._last_size -= len(self._last.popleft().text) + _LINE_COST


def _overwritten(line: str) -> str:
    """Return what is left of a line in which carriage returns write over what was there before."""
    return line.rstrip("\r").rpartition("\r")[2]
