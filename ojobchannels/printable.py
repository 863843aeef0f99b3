"""Text from others, made safe to show or to store: a terminal must not take it for its own."""

import re
from typing import Final

# Control characters; invisible ones that reorder or hide text; and halves of surrogate pairs.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_LONGEST_TEXT: Final = 20_000


def printable(text: str, keep: str = "") -> str:
    r"""Return the text with control characters as escapes such as ``\x1b``, except those in `keep`.

    Example:
        >>> print(printable("nightly\x1b[2J\nforged"))
        nightly\x1b[2J\nforged
    """

    def escape(found: re.Match[str]) -> str:
        return found[0] if found[0] in keep else found[0].encode("unicode_escape").decode()

    return _UNSAFE.sub(escape, text)


def printable_lines(text: str) -> list[str]:
    """Return the lines of a text, at least one, each printable; tabs are kept."""
    return [printable(line, keep="\t") for line in text.splitlines() or [""]]


def storable(text: str) -> str:
    """Return a text of any origin, such as an error's, in a form that every backend stores.

    Lone surrogates, as in file names that are not UTF-8, become escapes. The middle of a long text
    is left out: its beginning and its end say what it is about.
    """
    if len(text) > _LONGEST_TEXT:
        text = _ends_of(text)
    return text.encode("utf-8", "backslashreplace").decode()


def _ends_of(text: str) -> str:
    half = _LONGEST_TEXT // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]}… ({left_out} characters left out) …{text[-half:]}"
