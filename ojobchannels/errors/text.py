"""How messages describe holders and quote values, without passwords."""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_USER_OF_URL = re.compile(r"(.*?//)?.*@", re.DOTALL)
_SECRET_FIELD = re.compile(
    r"""((?:pass|pwd|secret|token)\w*['"]?\s*[=:]\s*)
        (?:'(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | [^&]+)""",
    re.IGNORECASE | re.VERBOSE,
)


def describe_holder(holder: dict[str, Any]) -> str:
    """Return a short description of the holder of a lock, made from its holder info."""
    if not holder:
        return "an unknown holder"
    if holder.keys() == {"next"}:
        return f"no process, but reserved for {holder['next']}"
    known = [
        f"{part} {holder[part]}" for part in ("host", "pid", "thread", "job") if part in holder
    ]
    return ", ".join(known) or quoted(holder)


def shown(value: object, secret: bool = False) -> str:
    """Return the text by which a message quotes an option's value, with passwords hidden.

    Args:
        value: The value. In a URL, the user, the password and all fields named like a secret are
            replaced by ``***``.
        secret: Whether to hide the whole value, and name only its type.

    Example:
        >>> print(shown("redis://job:pa55@example.org/0"))
        'redis://***@example.org/0'
    """
    if secret:
        return f"a value of type {type(value).__name__}"
    text = _SECRET_FIELD.sub(r"\1***", safe_repr(value))
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


def summary(error: BaseException) -> str:
    """Return the type and the message of any error."""
    text = safe_str(error)
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
    text = safe_repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
