"""Values of any kind as JSON documents: what is not JSON becomes its `repr`."""

from typing import Any

from ojobchannels.documents import MAX_DEPTH, Document, check_value
from ojobchannels.errors import InvalidValue, safe_repr, safe_str
from ojobchannels.printable import storable


def json_or_repr(value: Any) -> Document:
    """Return the value if it is a JSON document, otherwise its `repr`, or a text with escapes."""
    try:
        check_value(value)
    except InvalidValue:
        return storable(value) if isinstance(value, str) else safe_repr(value)
    return value


def as_json(value: Any, depth: int = 1) -> Document:
    """Return a value as JSON, in which each part that is not JSON is its `repr`.

    Texts stay as they are, also those with lone surrogates, as names of files may have.
    """
    match value:
        case dict() if depth <= MAX_DEPTH:
            return {safe_str(key): as_json(part, depth + 1) for key, part in value.items()}
        case list() if depth <= MAX_DEPTH:
            return [as_json(part, depth + 1) for part in value]
        case str():
            return str(value)
        case _:
            return json_or_repr(value)
