"""The args of bundled jobs, read one by one and checked."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from ojobchannels.channels.arguments import is_number
from ojobchannels.errors import InvalidJobArgs, shown

_FAR_MS: Final = 100 * 365 * 86_400_000
"""A hundred years: a longer time is the same to every caller, and too long for system calls."""


class ArgType(NamedTuple):
    """Which values an arg may have, and what to pass instead of another one."""

    accepts: Callable[[Any], bool]
    advice: str


def milliseconds(least: float = 0) -> ArgType:
    """Return the type of a time, of `least` or more."""
    return ArgType(
        lambda value: is_number(value) and value >= least, f"pass milliseconds, {least:g} or more"
    )


def integer(least: int, most: int | None = None) -> ArgType:
    """Return the type of an integer of `least` or more, and at most `most`."""
    return ArgType(
        lambda value: (
            isinstance(value, int)
            and not isinstance(value, bool)
            and least <= value <= (value if most is None else most)
        ),
        f"pass an integer, {least} or more" if most is None else f"pass {least} to {most}",
    )


def one_of(*values: str) -> ArgType:
    """Return the type of one of several words."""
    return ArgType(lambda value: value in values, f"use one of {', '.join(values)}")


def _is_name(value: Any) -> bool:
    return is_number(value) or TEXT.accepts(value)


ANY: Final = ArgType(lambda _: True, "")
CHANNEL: Final = ArgType(lambda _: True, "write {type, args}, or a URL")
TEXT: Final = ArgType(lambda value: isinstance(value, str) and value != "", "pass a string")
NAME: Final = ArgType(_is_name, "pass a name")
FLAG: Final = ArgType(lambda value: isinstance(value, bool), "pass `true` or `false`")
MAP: Final = ArgType(lambda value: isinstance(value, Mapping), "pass a map")
LIST: Final = ArgType(lambda value: isinstance(value, list), "pass a list")


class PackArgs:
    """The args of a bundled job.

    A missing arg, and null, is the default. Every method raises `InvalidJobArgs` for a value that
    the type of the arg does not accept.

    Args:
        job: The name of the job that called it, for messages.
        args: The args.
        types: The types of the args that the job reads.
    """

    def __init__(self, job: str, args: Mapping[str, Any], types: Mapping[str, ArgType]) -> None:
        self._job = job
        self._args = args
        self._types = types

    def required(self, name: str) -> Any:
        """Return an arg that must be there."""
        value = self._value(name, None)
        if value is None:
            raise self.invalid(f"`{name}` is missing", self._types[name].advice)
        return value

    def text(self, name: str) -> str:
        """Return a required arg as text; a number is accepted too."""
        return str(self.required(name))

    def milliseconds(self, name: str, default: float | None) -> float | None:
        """Return an arg in milliseconds as seconds; `default` is in milliseconds too."""
        value = self._value(name, default)
        return None if value is None else float(min(value, _FAR_MS)) / 1000

    def seconds(self, name: str, default: float) -> float:
        """Return an arg in milliseconds as seconds, with a default in milliseconds."""
        return float(self.milliseconds(name, default) or 0)

    def number(self, name: str, default: int) -> int:
        """Return an integer."""
        return int(self._value(name, default))

    def flag(self, name: str, default: bool) -> bool:
        """Return an arg that is true or false."""
        return bool(self._value(name, default))

    def value(self, name: str, default: Any = None) -> Any:
        """Return an arg of any type."""
        return self._value(name, default)

    def _value(self, name: str, default: Any) -> Any:
        value = self._args.get(name)
        if value is None:
            return default
        if not self._types[name].accepts(value):
            raise self.invalid(f"`{name}` is {shown(value)}", self._types[name].advice)
        return value

    def invalid(self, reason: str, advice: str) -> InvalidJobArgs:
        """Return the error for args that are not valid."""
        return InvalidJobArgs(f"job {self._job!r}", reason, advice)
