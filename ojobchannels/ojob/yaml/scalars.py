"""The YAML 1.2 rules by which a plain scalar is a number, a boolean, null, or text.

They are those of its core schema. The parsers have others, of YAML 1.1, in which `2024_01` is a
number.
"""

import math
import re
from functools import lru_cache
from typing import Any, Final

TAG: Final = "tag:yaml.org,2002:"
TEXTS: Final = frozenset(f"{TAG}{kind}" for kind in ("str", "timestamp", "value"))
KINDS: Final = {
    f"{TAG}int": "integer",
    f"{TAG}float": "number",
    f"{TAG}bool": "boolean",
    f"{TAG}null": "null",
}
"""The scalars other than text, each with its name in messages."""
_RULES: Final = {
    "bool": r"true|True|TRUE|false|False|FALSE",
    "float": r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "merge": r"<<",
    "null": r"~|null|Null|NULL|",
}
_NOT_TEXT: Final = re.compile(
    "|".join(f"(?P<{tag.rpartition(':')[2]}>{rule})" for tag, rule in _RULES.items())
)
_BOOLEANS: Final = {
    **dict.fromkeys(("true", "yes", "on", "y"), True),
    **dict.fromkeys(("false", "no", "off", "n"), False),
}
_BASES: Final = {"0o": 8, "0x": 16}
_NUMBERS: Final = (f"{TAG}int", f"{TAG}float")


@lru_cache(4096)
def plain_tag(text: str) -> str:
    """Return the tag of a plain scalar."""
    match = _NOT_TEXT.fullmatch(text)
    return f"{TAG}{match.lastgroup}" if match else f"{TAG}str"


def scalar_value(tag: str, text: str) -> Any:
    """Return the value of a scalar of one of `KINDS`.

    Raises:
        ValueError: The text is not such a value.
    """
    if tag == f"{TAG}null":
        return None
    if tag == f"{TAG}bool":
        if text.lower() not in _BOOLEANS:
            raise ValueError(text)
        return _BOOLEANS[text.lower()]
    if plain_tag(text) not in (tag, _NUMBERS[0]):
        raise ValueError(text)
    if tag == _NUMBERS[0]:
        base = _BASES.get(text[:2])
        return int(text[2:], base) if base else int(text)
    if not text[-1].isalpha():
        number = float(text)
        if math.isinf(number):
            raise ValueError(text)  # else it would become another number
        return number
    sign = "-" if text.startswith("-") else ""
    return float(f"{sign}{text.lstrip('+-.')}")
