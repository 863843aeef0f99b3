"""Suggestions of a known name in place of an unknown one."""

import difflib
from collections.abc import Iterable
from itertools import islice
from typing import Final

_COMPARED: Final = 200
_LISTED: Final = 12
_SHORTEST_SLIP: Final = 6
_SIMILARITY_OF_SLIP: Final = 0.85


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most similar to an unknown one, or None."""
    form = word.casefold()[:_COMPARED]
    by_form = {name.casefold()[:_COMPARED]: name for name in known}
    similar = difflib.get_close_matches(form, by_form)
    similar.sort(key=lambda name: name[:1] != form[:1])  # first those with the same first letter
    return by_form[similar[0]] if similar else None


def is_slip(word: str, name: str) -> bool:
    """Return whether a word looks like a name that was not typed correctly."""
    if word.casefold() == name.casefold():
        return True
    matcher = difflib.SequenceMatcher(None, word, name)
    return len(name) >= _SHORTEST_SLIP and matcher.ratio() >= _SIMILARITY_OF_SLIP


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint with the most similar known word, or a list of the words if none is."""
    known = list(known)
    suggestion = closest(word, known)
    if suggestion is not None:
        return f"did you mean `{suggestion}`?"
    listed = ", ".join(f"`{name}`" for name in islice(known, _LISTED))
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f"known: {listed}{more}" if known else ""
