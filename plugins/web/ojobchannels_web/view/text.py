"""Values as the pages show them."""

import json
import zlib
from typing import Any, Final

from markupsafe import Markup

from ojobchannels.host import terminal
from ojobchannels.host.clock import now_ms
from ojobchannels.manager.records import iso
from ojobchannels.masking import mask_text, masked, secret_values
from ojobchannels.printable import printable

MOST_CHARACTERS: Final = 64_000
_LONGEST_SECRET: Final = 8_000  # a private key
_STEPS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_LATEST: Final = 253_402_300_799_000


def shown(value: Any) -> Any:
    """Return what a template prints: text without characters that hide or reorder other text."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value, keep="\n\t")
    return value


def duration(ms: int | float | None) -> str:
    """Format a duration in milliseconds, as the command line does."""
    return "" if ms is None else terminal.duration(round(ms))


def moment(ms: object) -> Markup:
    """Return an element with a time; the script keeps it relative to now, and local."""
    if not isinstance(ms, int) or not 0 <= ms <= _LATEST:
        return Markup("")
    return Markup('<time datetime="{}" data-at="{}">{}</time>').format(
        iso(ms), ms, _relative(ms - now_ms())
    )


def document(value: Any, most: int = MOST_CHARACTERS) -> str:
    """Return a document as JSON, without its secrets, and not much longer than `most`.

    Of a very long one only the parts that are shown are searched for secrets, which takes time.
    """
    text = json.dumps(value, ensure_ascii=False, default=str)
    if len(text) <= 2 * most:
        return cut(json.dumps(masked(value), indent=2, ensure_ascii=False, default=str), most)
    secrets = secret_values(value)
    secrets |= {json.dumps(secret, ensure_ascii=False)[1:-1] for secret in secrets}
    return _masked_ends(text, most, secrets)


def masked_text(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return a text without its secrets, and not much longer than `most`; like `document`."""
    return cut(mask_text(text), most) if len(text) <= 2 * most else _masked_ends(text, most, set())


def ascii_json(value: Any) -> str:
    """Return a value as JSON that a form posts as it is: without line breaks and controls."""
    return json.dumps(value)


def one_line(value: Any, most: int = 200) -> str:
    """Return the beginning of a document or text as one line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    line = " ".join(text[: 2 * most].split())
    return line if len(line) <= most and len(text) <= 2 * most else f"{line[:most]}…"


def cut(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return a text, with a note in place of its middle if it is very long."""
    if len(text) <= most:
        return text
    half = most // 2
    return _without_middle(text[:half], len(text) - 2 * half, text[-half:])


def _masked_ends(text: str, most: int, secrets: set[str]) -> str:
    half = most // 2
    first = mask_text(text[: half + _LONGEST_SECRET], secrets)[:half]
    last = mask_text(text[-half - _LONGEST_SECRET :], secrets)[-half:]
    return _without_middle(first, len(text) - 2 * half, last)


def _without_middle(first: str, left_out: int, last: str) -> str:
    return f"{first}\n… {left_out} characters are not shown …\n{last}"


def anchor(name: str) -> str:
    """Return an identifier for the element of a name, so that it keeps the focus."""
    return f"n{zlib.crc32(name.encode('utf-8', 'replace')):x}"


def process(holder: Any) -> str:
    """Return the process of a record or of a holder as ``host:pid``."""
    return f"{holder.get('host', '?')}:{holder.get('pid', '?')}"


def _relative(away: int) -> str:
    seconds = abs(away) // 1000
    if not seconds:
        return "now"
    size, unit = next(step for step in _STEPS if seconds >= step[0])
    amount = f"{seconds // size} {unit}"
    return f"in {amount}" if away > 0 else f"{amount} ago"
