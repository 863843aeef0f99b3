"""The args of bundled jobs, read one by one and checked."""

from collections.abc import Mapping
from typing import Any

from ojobchannels.errors import InvalidJobArgs, quoted


class PackArgs:
    """The args of a bundled job.

    Every method raises `InvalidJobArgs` for a value that it does not accept.

    Args:
        job: The name of the job that called it, for messages.
        args: The args.
    """

    def __init__(self, job: str, args: Mapping[str, Any]) -> None:
        self._job = job
        self._args = args

    def text(self, name: str) -> str:
        """Return a required arg as text; a number is accepted too."""
        value = self._args.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
            raise self._invalid(name, value, "pass a name")
        return str(value)

    def milliseconds(self, name: str, default: float | None, least: float = 0) -> float | None:
        """Return an arg in milliseconds, of `least` or more, as seconds."""
        value = self._args.get(name)
        if value is None:
            return None if default is None else default / 1000
        if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
            raise self._invalid(name, value, f"pass milliseconds, {least:g} or more")
        return value / 1000

    def seconds(self, name: str, default: float, least: float = 0) -> float:
        """Return an arg in milliseconds as seconds; `default` is in milliseconds too."""
        value = self.milliseconds(name, default, least)
        return default / 1000 if value is None else value

    def number(self, name: str, default: int, least: int) -> int:
        """Return an integer of `least` or more."""
        value = self._args.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self._invalid(name, value, f"pass an integer, {least} or more")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Return an arg that is true or false."""
        value = self._args.get(name, default)
        if not isinstance(value, bool):
            raise self._invalid(name, value, "pass `true` or `false`")
        return value

    def _invalid(self, name: str, value: object, advice: str) -> InvalidJobArgs:
        reason = f"`{name}` is missing" if value is None else f"`{name}` is {quoted(value)}"
        return InvalidJobArgs(f"job {self._job!r}", reason, advice)
