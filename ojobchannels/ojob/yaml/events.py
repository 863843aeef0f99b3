"""The events of two YAML parsers: libyaml, which is fast, and ruamel.yaml, which has the last word.

libyaml is written in C and more than ten times as fast, but it implements YAML 1.1. So it only
reads texts without what the two versions treat differently. What it refuses is read again by
ruamel.yaml, whose errors are the ones that are reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from ojobchannels.ojob.yaml.syntax_errors import (
    Offset,
    forbidden_character,
    invalid_yaml,
    unsupported_version,
)

_FOR_RUAMEL: Final = re.compile(
    r"[\t\r\x7f-\x9f\u2028\u2029\ufeff]|^%|(?:^|[\s\[{,-])\?(?:\s|$)|!(?:\s|$)", re.MULTILINE
)
"""What the parsers treat differently: tabs, line ends, directives, complex keys, empty tags."""


class Refused(Exception):
    """libyaml does not read a text; ruamel.yaml may."""


def fast_events(text: str) -> Iterator[Any]:
    """Yield the events of libyaml.

    Raises:
        Refused: It cannot read the text, is not installed, or must not be asked.
    """
    if _FOR_RUAMEL.search(text):
        raise Refused
    try:
        from yaml import CSafeLoader, YAMLError
    except ImportError:  # PyYAML was built without libyaml
        raise Refused from None
    try:
        parser = CSafeLoader(text)
        while parser.check_event():
            yield parser.get_event()
    except YAMLError:
        raise Refused from None


def exact_events(text: str) -> Iterator[Any]:
    """Yield the events of ruamel.yaml.

    Raises:
        InvalidText: The text is not YAML 1.2.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.reader import ReaderError

    if version := unsupported_version(text):
        raise version
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        mark, opening = error.problem_mark or error.context_mark, error.context_mark
        words = ", ".join(part for part in (error.context, error.problem) if part)
        raise invalid_yaml(text, words, _offset(mark), opening and _offset(opening)) from None
    except ReaderError as error:
        raise forbidden_character(text, error.position) from None


def _offset(mark: Any) -> Offset:
    return Offset(mark.line, mark.column)
