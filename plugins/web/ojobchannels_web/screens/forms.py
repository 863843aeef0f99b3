"""The fields of a form that was posted."""

from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

_LONGEST: Final = 64_000
_MOST_FIELDS: Final = 50


class FormError(Exception):
    """The body of a request is not a form of this page."""


async def fields_of(request: Request) -> dict[str, str]:
    """Return the fields of a small form, each once.

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
    return dict(pairs)
