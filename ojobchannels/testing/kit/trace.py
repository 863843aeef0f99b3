"""A trace of the operations of one test, in order, shown when the test fails."""

from __future__ import annotations

import inspect
import itertools
import reprlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from ojobchannels.hookspecs import ChannelSpec, hookimpl

_MAX_STEPS: Final = 25
_DEFAULTS: Final = {"fence": None, "match": None, "after": None, "newest_first": False}


class ShortRepr(reprlib.Repr):
    """Keeps the fields of maps in their order, and gives the length of a string that it cuts.

    The order may be the error, and long strings may differ only where they are cut.
    """

    def repr_str(self, x: str, level: int) -> str:
        """Shorten a string."""
        text = super().repr_str(x, level)
        return text if text == repr(x) else f"{text} ({len(x)} characters)"

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        """Shorten a map."""
        if x and level <= 0:
            return "{...}"
        fields = [
            f"{self.repr1(name, level - 1)}: {self.repr1(value, level - 1)}"
            for name, value in itertools.islice(x.items(), self.maxdict)
        ]
        return "{" + ", ".join(fields + ["..."] * (len(x) > self.maxdict)) + "}"


_SHORT = ShortRepr()
_SHORT.maxlevel, _SHORT.maxdict, _SHORT.maxlist = 4, 6, 8
_SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 60, 90, 40


class Trace:
    """Records steps, and formats the last 25 of them as numbered lines.

    Args:
        took: Is called with the seconds that each operation took, a wait beyond its timeout.
    """

    def __init__(self, took: Callable[[float], None] = lambda _: None) -> None:
        self.took = took
        self._count = 0
        self._steps: deque[tuple[int, str]] = deque(maxlen=_MAX_STEPS)
        self._handles = itertools.count()
        self._lock = threading.Lock()

    def note(self, step: str) -> None:
        """Add a step, prefixed with the name of the thread unless it is the main thread."""
        thread = threading.current_thread()
        if thread is not threading.main_thread():
            step = f"[{thread.name}] {step}"
        with self._lock:
            self._count += 1
            self._steps.append((self._count, step))

    def handle_extension(self, channel: str | None) -> object:
        """Return an extension that records the operations of the next handle: A, B, and so on."""
        number = next(self._handles)
        letter = chr(ord("A") + number) if number < 26 else f"H{number}"
        if channel is not None:
            self.note(f"{letter} is a handle on channel {_format(channel)}")
        return _OperationRecorder(self, letter)

    def lines(self) -> list[str]:
        """Return the steps, one per line."""
        with self._lock:
            steps = list(self._steps)
        left_out = steps[0][0] - 1 if steps else 0
        before = [f"     … {left_out} earlier steps"] if left_out else []
        return before + [f"{number:4}. {step}" for number, step in steps]


class _OperationRecorder:
    """Wraps every operation of one handle; the loop below adds the methods."""

    never_blocks = True

    def __init__(self, trace: Trace, letter: str) -> None:
        self.trace = trace
        self.letter = letter


def _recorder(operation: str) -> Callable[..., Iterator[Any]]:
    spec = getattr(ChannelSpec, operation)
    names = list(inspect.signature(spec).parameters)[1:]

    def record(self: _OperationRecorder, *arguments: Any) -> Iterator[Any]:
        named = dict(zip(names, arguments, strict=True))
        call = f"{self.letter}.{operation}({_arguments(named)})"
        if operation == "wait":
            self.trace.note(f"{call} begins")
        began = time.monotonic()
        try:
            result = yield
        except BaseException as error:
            self.trace.note(f"{call} raises {type(error).__name__}: {_format(str(error))}")
            raise
        finally:
            waits = named["timeout"] if operation == "wait" else 0
            if waits is not None:
                self.trace.took(time.monotonic() - began - waits / 1000)
        self.trace.note(f"{call} → {_format(result)}")
        return result

    record.__wrapped__ = spec  # type: ignore[attr-defined]  # pluggy reads its signature
    return hookimpl(wrapper=True, specname=operation)(record)


for _name in vars(ChannelSpec):
    if not _name.startswith("_"):
        setattr(_OperationRecorder, _name, _recorder(_name))


def _arguments(arguments: Mapping[str, Any]) -> str:
    shown = {
        name: value
        for name, value in arguments.items()
        if name != "holder" and (name not in _DEFAULTS or value is not _DEFAULTS[name])
    }
    return ", ".join(
        f"{name}={_format(value[:8] if name == 'token' else _plain(value))}"
        for name, value in shown.items()
    )


def _plain(value: Any) -> Any:
    return getattr(value, "document", value)


def _format(value: object) -> str:
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        parts = zip(value._fields, value, strict=True)
        return f"{type(value).__name__}({', '.join(f'{k}={_format(v)}' for k, v in parts)})"
    return _SHORT.repr(value)
