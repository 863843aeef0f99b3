"""How messages describe holders and quote values: printable, and without secrets."""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ojobchannels.masking import mask_text, masked
from ojobchannels.printable import printable

_USER_OF_URL = re.compile(r"(.*?//)?.*@", re.DOTALL)
_REST_OF_SECRET = re.compile(r"""=\*\*\*[^&'"]*""")
_MOST_OF_GROUP = 5
_LONGEST_QUOTED = 120
_LONGEST_HOLDER = 400


def message(text: str) -> str:
    """Return the text of an error, safe to show: what it quotes may be anybody's text."""
    return printable(mask_text(text), keep="\n\t")


def describe_holder(holder: dict[str, Any]) -> str:
    """Return a short description of the holder of a lock, made from its holder info."""
    if not holder:
        return "an unknown holder"
    if holder.keys() == {"next"}:
        return f"no process, but reserved for {printable(str(holder['next']))}"
    known = [
        f"{part} {printable(str(holder[part]))}"
        for part in ("host", "pid", "thread", "job")
        if part in holder
    ]
    if "keptUntil" in holder:
        known.append(f"kept until {printable(str(holder['keptUntil']))} at least")
    return _cut(", ".join(known), _LONGEST_HOLDER) or quoted(masked(holder))


def shown(value: object, secret: bool = False) -> str:
    """Return the text by which a message quotes an option's value, with passwords hidden.

    Args:
        value: The value. The user and the password of a URL, and all values named like a secret,
            are replaced by ``***``.
        secret: Whether to hide the whole value, and name only its type.

    Example:
        >>> print(shown("redis://job:pa55@example.org/0"))
        'redis://***@example.org/0'
    """
    if secret:
        return f"a value of type {type(value).__name__}"
    text = _REST_OF_SECRET.sub("=***", mask_text(safe_repr(masked(value))))
    return _USER_OF_URL.sub(lambda match: f"{match[1] or match[0][0]}***@", text)


def safe_str(value: object) -> str:
    """Return a value as text; if its own code for that fails, its type and that error."""
    return _text(str, value)


def safe_repr(value: object) -> str:
    """Return the `repr` of a value; if its own code for that fails, its type and that error."""
    return _text(repr, value)


def _text(convert: Callable[[object], str], value: object) -> str:
    try:
        return convert(value)
    except Exception as error:  # noqa: BLE001  any class may have such code
        return f"<{type(value).__name__}, whose text is not available ({type(error).__name__})>"


def summary(error: BaseException, depth: int = 2) -> str:
    """Return the type and the message of any error, and of the first ones of a group of errors."""
    text = safe_str(error)
    if isinstance(error, BaseExceptionGroup) and depth:
        first = BaseExceptionGroup.exceptions.__get__(error)[:_MOST_OF_GROUP]
        parts = [summary(part, depth - 1) for part in first]
        text = f"{text}: {'; '.join(parts)}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def add_note(error: BaseException, text: str) -> None:
    """Add a note to any error, also to one whose attributes cannot be set."""
    with suppress(Exception):
        error.__dict__.setdefault("__notes__", []).append(text)


def notes_of(error: BaseException) -> list[str]:
    """Return the notes of any error."""
    try:
        return [safe_str(note) for note in error.__notes__]
    except Exception:  # noqa: BLE001  there are none, or its attributes fail
        return []


def quoted(value: object) -> str:
    """Return the `repr` of a value, cut to 120 characters."""
    return _cut(safe_repr(value), _LONGEST_QUOTED)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
