"""Args of bundled jobs: read one by one, each with what it may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ojobchannels.errors import InvalidJobArgs


class Asked:
    """The args of a bundled job.

    Args:
        job: Who called it.
        args: What it was given.
    """

    def __init__(self, job: str, args: Mapping[str, Any]) -> None:
        self._job = job
        self._args = args

    def text(self, name: str) -> str:
        """Returns one that has to be there, a text or a number.

        Raises:
            InvalidJobArgs: It is missing, or something else.
        """
        value = self._args.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
            raise self._wrong(name, value, "give a name")
        return str(value)

    def milliseconds(self, name: str, default: float | None, least: float = 0) -> float | None:
        """Returns one as seconds.

        Raises:
            InvalidJobArgs: It is no such number.
        """
        value = self._args.get(name)
        if value is None:
            return None if default is None else default / 1000
        if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
            raise self._wrong(name, value, f"give milliseconds, {least:g} or more")
        return value / 1000

    def seconds(self, name: str, default: float, least: float = 0) -> float:
        """Returns one that is given in milliseconds, as seconds."""
        found = self.milliseconds(name, default, least)
        return default / 1000 if found is None else found

    def number(self, name: str, default: int, least: int) -> int:
        """Returns a whole number.

        Raises:
            InvalidJobArgs: It is none, or too small.
        """
        value = self._args.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self._wrong(name, value, f"give a whole number, {least} or more")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Returns one that is true or false.

        Raises:
            InvalidJobArgs: It is neither.
        """
        value = self._args.get(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, value, "give true or false")
        return value

    def _wrong(self, name: str, value: object, advice: str) -> InvalidJobArgs:
        said = f"`{name}` is missing" if value is None else f"`{name}` is {value!r}"
        return InvalidJobArgs(f"job {self._job!r}", said, advice)
