"""The fields of a form that was posted."""

import json
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

_LONGEST: Final = 64_000
_MOST_FIELDS: Final = 50


class FormError(Exception):
    """The body of a request is not a form of this page."""


async def fields_of(request: Request) -> dict[str, str]:
    """Return the fields of a small form, each once.

    A browser changes line breaks in the fields of a form, so the page has those that must stay as
    they are in one field, ``fields``, as JSON.

    Raises:
        FormError: It is not a form, or it is too long.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST:
            raise FormError("the form is too long")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise FormError("the form cannot be read") from error
    fields = dict(pairs)
    return fields | _as_they_are(fields.pop("fields", "{}"))


def _as_they_are(text: str) -> dict[str, str]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormError("its fields cannot be read") from error
    if not isinstance(fields, dict):
        raise FormError("its fields are not a map")
    return {name: str(value) for name, value in fields.items()}
