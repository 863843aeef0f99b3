"""A story: what a test did with a storage, in order, so that a failure can be read."""

from __future__ import annotations

import inspect
import itertools
import reprlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from ojobchannels.hookspecs import ChannelSpec, hookimpl

_LONGEST: Final = 25
_QUIET: Final = {"fence": None, "match": None, "after": None, "newest_first": False}


class _Short(reprlib.Repr):
    """Tells the fields of a map in their order, which may be what is wrong."""

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        if x and level <= 0:
            return "{...}"
        fields = [
            f"{self.repr1(name, level - 1)}: {self.repr1(value, level - 1)}"
            for name, value in itertools.islice(x.items(), self.maxdict)
        ]
        return "{" + ", ".join(fields + ["..."] * (len(x) > self.maxdict)) + "}"


_SHORT = _Short()
_SHORT.maxlevel, _SHORT.maxdict, _SHORT.maxlist = 4, 6, 8
_SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 60, 90, 40


class Story:
    """Notes what happened, and tells the last of it in numbered lines."""

    def __init__(self) -> None:
        self._count = 0
        self._steps: deque[tuple[int, str]] = deque(maxlen=_LONGEST)
        self._handles = itertools.count()
        self._lock = threading.Lock()

    def note(self, step: str) -> None:
        """Adds a step, with the thread's name if it is another than the main one."""
        thread = threading.current_thread()
        if thread is not threading.main_thread():
            step = f"[{thread.name}] {step}"
        with self._lock:
            self._count += 1
            self._steps.append((self._count, step))

    def of_a_handle(self, channel: str | None) -> object:
        """Returns an extension that notes the operations of one more handle: A, then B, and on."""
        number = next(self._handles)
        letter = chr(ord("A") + number) if number < 26 else f"H{number}"
        if channel is not None:
            self.note(f"{letter} is a handle on channel {_told(channel)}")
        return _Listener(self, letter)

    def lines(self) -> list[str]:
        """Tells it."""
        with self._lock:
            steps = list(self._steps)
        left_out = steps[0][0] - 1 if steps else 0
        before = [f"     … {left_out} steps before"] if left_out else []
        return before + [f"{number:4}. {step}" for number, step in steps]


class _Listener:
    """Wraps every operation of one handle; `_wrapper` adds the methods."""

    def __init__(self, story: Story, letter: str) -> None:
        self.story = story
        self.letter = letter


def _wrapper(operation: str) -> Callable[..., Iterator[Any]]:
    spec = getattr(ChannelSpec, operation)
    names = list(inspect.signature(spec).parameters)[1:]

    def listen(self: _Listener, *arguments: Any) -> Iterator[Any]:
        call = f"{self.letter}.{operation}({_arguments(dict(zip(names, arguments, strict=True)))})"
        if operation == "wait":
            self.story.note(f"{call} begins")
        try:
            answer = yield
        except BaseException as error:
            self.story.note(f"{call} raises {type(error).__name__}: {_told(str(error))}")
            raise
        self.story.note(f"{call} → {_told(answer)}")
        return answer

    listen.__wrapped__ = spec  # type: ignore[attr-defined]  # whose arguments pluggy passes
    return hookimpl(wrapper=True, specname=operation)(listen)


for _name in vars(ChannelSpec):
    if not _name.startswith("_"):
        setattr(_Listener, _name, _wrapper(_name))


def _arguments(given: Mapping[str, Any]) -> str:
    told = {
        name: value
        for name, value in given.items()
        if name != "holder" and (name not in _QUIET or value is not _QUIET[name])
    }
    return ", ".join(
        f"{name}={_told(value[:8] if name == 'token' else _plain(value))}"
        for name, value in told.items()
    )


def _plain(value: Any) -> Any:
    return getattr(value, "document", value)


def _told(thing: object) -> str:
    if isinstance(thing, tuple) and hasattr(thing, "_fields"):
        parts = zip(thing._fields, thing, strict=True)
        return f"{type(thing).__name__}({', '.join(f'{k}={_told(v)}' for k, v in parts)})"
    return _SHORT.repr(thing)
