"""Templates of notices: ``{{field}}`` in the texts of a body, a mail or a URL."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

_FIELD: Final = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


def fields_in(value: Any) -> Iterator[str]:
    """Yield the names that templates in a JSON document use."""
    if isinstance(value, str):
        yield from _FIELD.findall(value)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from fields_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from fields_in(part)


def rendered(value: Any, notice: Mapping[str, Any]) -> Any:
    """Return a JSON document with the fields of a notice.

    A text that consists of one template becomes the field itself, of any type.
    """
    if isinstance(value, str):
        only = _FIELD.fullmatch(value)
        return notice.get(only[1]) if only else rendered_text(value, notice)
    if isinstance(value, Mapping):
        return {str(key): rendered(part, notice) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [rendered(part, notice) for part in value]
    return value


def rendered_text(
    text: str, notice: Mapping[str, Any], quote: Callable[[str], str] = lambda text: text
) -> str:
    """Return a text with the fields of a notice, each quoted; missing ones are empty."""

    def value(found: re.Match[str]) -> str:
        field = notice.get(found[1])
        return "" if field is None else quote(str(field))

    return _FIELD.sub(value, text)
