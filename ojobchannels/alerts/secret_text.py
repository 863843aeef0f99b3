"""Texts with secrets: references to the environment and to files, and masks in messages."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ojobchannels.errors import InvalidOption, safe_str
from ojobchannels.masking import MASK, mask_text
from ojobchannels.printable import printable

_REFERENCE: Final = re.compile(r"\$\{(env|file):([^{}]+)\}")
_LARGEST_FILE: Final = 65_536
_LONGEST_TEXT: Final = 500


def has_reference(text: str) -> bool:
    """Return whether a text refers to an environment variable or to a file."""
    return _REFERENCE.search(text) is not None


def resolved(text: str) -> str:
    """Return a text with the variables and files that it refers to.

    Raises:
        InvalidOption: One of them is missing.
    """
    return _REFERENCE.sub(lambda found: _value(found[1], found[2]), text)


def _value(kind: str, name: str) -> str:
    if kind == "env":
        value = os.environ.get(name, "").rstrip("\r\n")
        if not value:
            reason = f"the environment variable {name!r} is not set"
            raise InvalidOption("secret", reason, "set it for this process")
        return value
    try:
        with Path(name).open(encoding="utf-8") as file:
            return file.read(_LARGEST_FILE).strip()
    except (OSError, ValueError) as error:
        reason = f"the file {name!r} cannot be read: {error}"
        raise InvalidOption("secret", reason, "write the secret to it") from error


def described(error: BaseException, secrets: Iterable[str]) -> str:
    """Return the error of a delivery as a text without its secrets."""
    hidden = [form for secret in secrets for form in (secret, ascii(secret)[1:-1])]
    text = mask_text(safe_str(error), hidden)  # libraries quote what they refuse
    return printable(f"{type(error).__name__}: {text}" if text else type(error).__name__)[
        :_LONGEST_TEXT
    ]


def secrets_of_url(url: str) -> Iterator[str]:
    """Yield the secret parts of a URL: all but its scheme and host."""
    yield url
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    yield from (part for part in (parts.path, parts.query, parts.password) if part)
    yield from (step for step in (*parts.path.split("/"), *parts.query.split("&")) if step)


def shown_url(url: str) -> str:
    """Return a URL as messages show it: ``https://example.org/***``."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return MASK
    return printable(f"{parts.scheme}://{parts.hostname or ''}{port}/{MASK}")
