"""How messages describe holders and quote values, without passwords."""

import re
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
    text = _SECRET_FIELD.sub(r"\1***", repr(value))
    return _USER_OF_URL.sub(lambda match: f"{match[1] or match[0][0]}***@", text)


def quoted(value: object) -> str:
    """Return the `repr` of a value, cut to 120 characters."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
