"""Secrets in documents and texts, replaced by ``***``: by name, by form, and by value.

A value under a name such as ``password`` is a secret, and so is what looks like one wherever it
is: the login of a URL, ``token=…``, a private key. A secret value is masked in every other text
that repeats it.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final

MASK: Final = "***"
_SHORTEST_VALUE: Final = 4  # a shorter one would be found within unrelated words

_NAME: Final = (
    r"(?:(?i:(?>\w*(?:passw|passphrase|secret|credential|token(?!i[sz]))\w*)"
    r"|\w*(?:api|access|private|signing|encryption)[_-]?key|\w*pwd"
    r"|(?:\w*[_-])?(?:pass|pw|authorization|cookie))|[a-z]+Pass)"
)
# Most words have no value behind them; looking for that first keeps long texts cheap.
_BEFORE_VALUE: Final = r"(?=\w++(?:-\w++)?+['\"]?\s*+[=:])"
_SECRET_NAME: Final = re.compile(_NAME)
_COUNT: Final = re.compile(r"\w*tokens", re.IGNORECASE)
_PART_OF_NAME: Final = re.compile(
    "pass|pwd?|secret|credential|token|key|authorization|cookie", re.IGNORECASE
)
"""A part that each secret name has, for which a text is searched in a tenth of the time."""
_QUOTED: Final = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_KEY: Final = r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)"
# A password may contain `/`, a port cannot. Lengths are limited, so that no text takes long. The
# words `user:password`, as in the advice of our messages, stay.
_LOGIN: Final = (
    r"((?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,50}://)(?!(?:user)?:password@)"
    r"(?:[^\s'\"<>/?\#@]{0,300}|[^\s'\"<>/?\#@:]{0,300}:(?!\d{1,5}/)[^\s'\"<>]{0,300})@"
    r"(?![^\s'\"<>/?\#]{0,300}@)"
)
_WELL_KNOWN: Final = (
    r"\b(?:eyJ[\w-]{8,1000}\.[\w-]{8,1000}\.[\w-]*|gh[pousr]_\w{20,}|github_pat_\w{20,}"
    r"|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}|sk-[\w-]{20,})"
)
_VALUE_OF_NAME: Final = (
    rf"(\b{_BEFORE_VALUE}(?!\w*tokens\b){_NAME}['\"]?\s*[=:]\s*|(?<!\S)--?{_NAME}\s+(?!-))"
    rf"(?:(?P<quoted>{_QUOTED})|(?!\*\*\*|(?i:bearer|basic)\s)[^\s&,;'\"<>)}}\]]+)"
)
_FOLDER: Final = r"""(?i:pwd)['"]?\s*[=:]\s*['"]?[`/.~].*"""
"""A working directory, which has the name of a password; or our own message about the key."""


@cache  # compiled for the first text, because many commands mask none
def _forms() -> tuple[tuple[re.Pattern[str], str], ...]:
    return (
        (re.compile(_KEY, re.DOTALL), MASK),
        (re.compile(_LOGIN, re.IGNORECASE), rf"\1{MASK}@"),
        (re.compile(r"\b((?i:bearer|basic))\s+[\w.~+/=-]{8,}"), rf"\1 {MASK}"),
        (re.compile(r"((?:^|\s)(?:-u|--user)(?:=|\s+)[^\s:]+:)\S+"), rf"\1{MASK}"),
        (re.compile(_WELL_KNOWN), MASK),
    )


@cache
def _value_of_name() -> re.Pattern[str]:
    return re.compile(_VALUE_OF_NAME)


def is_secret_name(name: object) -> bool:
    """Return whether a value of this name is a secret, such as ``password`` or ``apiKey``."""
    return isinstance(name, str) and _SECRET_NAME.fullmatch(name) is not None


def mask_text(text: str, values: Iterable[str] = ()) -> str:
    """Return the text without the secrets in it.

    Args:
        text: Any text, of any number of lines.
        values: Secrets that are to be masked wherever they are; very short ones are not.

    Example:
        >>> print(mask_text("cannot reach redis://job:pa55@example.org/0"))
        cannot reach redis://***@example.org/0
    """
    text = mask_values(text, values)
    for form, masked_form in _forms():
        text = form.sub(masked_form, text)
    return _value_of_name().sub(_without_value, text) if _PART_OF_NAME.search(text) else text


def mask_values(text: str, values: Iterable[str]) -> str:
    """Return the text without these secrets; very short ones stay. It is cheap, for many lines."""
    for value in sorted(set(values), key=len, reverse=True):
        if len(value) >= _SHORTEST_VALUE:
            text = text.replace(value, MASK)
    return text


def masked(document: Any, secret: Collection[str] = ()) -> Any:
    """Return a copy of a document without its secrets.

    Args:
        document: Maps and lists of any depth; values that are neither, nor texts, are kept.
        secret: Names of values, besides those that `is_secret_name` knows, that are secrets.

    Example:
        >>> masked({"user": "ann", "password": "pa55", "log": "login with pa55"})
        {'user': 'ann', 'password': '***', 'log': 'login with ***'}
    """
    if not document and isinstance(document, dict):  # most runs have no args
        return {}
    values = secret_values(document, secret)
    return _rebuilt(document, secret, lambda text: mask_text(text, values))


def secret_values(document: Any, secret: Collection[str] = ()) -> set[str]:
    """Return the texts and numbers of a document that are secrets by their name, as texts."""
    if not document:
        return set()
    found: set[str] = set()
    seen: set[tuple[int, bool]] = set()  # the args of a job may contain themselves
    waiting: list[tuple[Any, bool]] = [(document, False)]
    while waiting:
        part, is_secret = waiting.pop()
        if not isinstance(part, Mapping | list | tuple):
            if is_secret and _can_be_secret(part):
                found.add(str(part))
        elif (id(part), is_secret) not in seen:
            seen.add((id(part), is_secret))
            waiting += _parts_of(part, is_secret, secret)
    return found


def _parts_of(part: Any, is_secret: bool, secret: Collection[str]) -> Iterator[tuple[Any, bool]]:
    if isinstance(part, Mapping):
        for name, value in part.items():
            yield value, is_secret or _is_secret(name, value, secret)
    else:
        yield from ((value, is_secret) for value in part)


def _without_value(found: re.Match[str]) -> str:
    if re.fullmatch(_FOLDER, found[0], re.DOTALL):
        return found[0]
    quote = found["quoted"][0] if found["quoted"] else ""
    return f"{found[1]}{quote}{MASK}{quote}"


def _rebuilt(part: Any, secret: Collection[str], of_text: Callable[[str], str]) -> Any:
    if isinstance(part, Mapping):
        return {
            name: _rebuilt(value, secret, _all_masked)
            if _is_secret(name, value, secret)
            else _rebuilt(value, secret, of_text)
            for name, value in part.items()
        }
    if isinstance(part, list | tuple):
        return [_rebuilt(value, secret, of_text) for value in part]
    if isinstance(part, str):
        return of_text(part)
    return MASK if of_text is _all_masked and _can_be_secret(part) else part


def _all_masked(text: str) -> str:
    return MASK if text else text


def _is_secret(name: object, value: Any, secret: Collection[str]) -> bool:
    if name in secret:
        return True
    is_count = isinstance(value, int | float) and _COUNT.fullmatch(str(name)) is not None
    return is_secret_name(name) and not is_count


def _can_be_secret(value: Any) -> bool:
    return isinstance(value, str | int | float | bytes) and not isinstance(value, bool)
