"""The words for what may have been meant by a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice
from typing import Final

_COMPARED: Final = 200
_LISTED: Final = 12


def closest(word: str, known: Iterable[str]) -> str | None:
    """Returns the known word that was probably meant."""
    form = word.casefold()[:_COMPARED]
    by_form = {one.casefold()[:_COMPARED]: one for one in known}
    found = difflib.get_close_matches(form, by_form)
    found.sort(key=lambda one: one[:1] != form[:1])  # of two as close, the one that begins alike
    return by_form[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns a hint at the closest known word, or lists them if none comes close."""
    known = list(known)
    meant = closest(word, known)
    if meant is not None:
        return f"did you mean `{meant}`?"
    listed = ", ".join(f"`{one}`" for one in islice(known, _LISTED))
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f"known here: {listed}{more}" if known else ""
