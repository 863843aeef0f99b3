"""Text from others, made safe to show: a terminal or a log file must not take it for its own."""

import re
from typing import Final

# Control characters; invisible ones that reorder or hide text; and halves of surrogate pairs.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


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
