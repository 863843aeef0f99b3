"""Numbers in options and URLs, as people write them."""

import re

# Python itself accepts more, such as 6_379 and digits of other scripts.
_NUMBERS: dict[type, str] = {
    int: r"[+-]?[0-9]+",
    float: r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?",
}


def number(text: str, kind: type[int] | type[float]) -> float:
    """Return the number that a text is, in plain digits.

    Raises:
        ValueError: It is not a number of that kind.
    """
    if not re.fullmatch(_NUMBERS[kind], text):
        raise ValueError(text)
    return kind(text)
