"""What a job file says of itself: its `help`, and the arguments that it expects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ojobchannels.documents import encode
from ojobchannels.errors import Diagnostic, InvalidJobArgs
from ojobchannels.ojob.schema.model import ExpectSpec, HelpSpec
from ojobchannels.ojob.yaml.positions import DocumentPath
from ojobchannels.ojob.yaml.source import Source


class Help(NamedTuple):
    """The help of a job file and of what it includes.

    Attributes:
        text: What the last file that says something says.
        expects: The arguments, by name; the last file that tells of one counts.
    """

    text: str
    expects: Mapping[str, ExpectSpec]


def help_of(specs: Iterable[HelpSpec | None]) -> Help:
    """Puts what several files say together."""
    text, expects = "", dict[str, ExpectSpec]()
    for spec in specs:
        if spec is not None:
            text = spec.text or text
            expects |= {one.name: one for one in spec.expects}
    return Help(text, expects)


def help_faults(source: Source) -> Iterator[Diagnostic]:
    """Yields the arguments of which one file tells twice."""
    match source.data:
        case {"help": {"expects": list(expects)}}:
            first: dict[str, DocumentPath] = {}
            for at, one in enumerate(expects):
                path: DocumentPath = ("help", "expects", at, "name")
                name = one.get("name") if isinstance(one, dict) else None
                if isinstance(name, str) and first.setdefault(name, path) != path:
                    line = source.position(first[name]).line
                    said = f"there is another argument {name!r} in line {line}"
                    yield source.diagnostic(path, said, "take one of them out")


def check_expected(name: str, help: Help, args: Mapping[str, Any]) -> None:
    """Checks the arguments of a run against what its file expects.

    Raises:
        InvalidJobArgs: Some are missing, or are none of those that can be chosen.
    """
    faults = [fault for one in help.expects.values() for fault in _faults(one, args)]
    if faults:
        advice = f"`ojob run {name} --help` tells what it expects"
        raise InvalidJobArgs(name, "; ".join(faults), advice)


def described(expected: ExpectSpec) -> str:
    """Returns what there is to say of an argument."""
    choice = expected.options or expected.moptions
    parts = [
        expected.desc,
        f"{'one' if expected.options else 'some'} of {_listed(choice)}" if choice else "",
        "" if expected.example is None else f"such as {expected.example}",
        "required" if expected.mandatory else "",
    ]
    return "; ".join(part for part in parts if part)


def _faults(expected: ExpectSpec, args: Mapping[str, Any]) -> Iterator[str]:
    given, name = args.get(expected.name), expected.name
    if given is None:
        if expected.mandatory:
            what = f" ({expected.desc})" if expected.desc else ""
            example = "…" if expected.example is None else expected.example
            yield f"`{name}`{what} is missing: pass {name}={example}"
        return
    if expected.options and str(given) not in map(str, expected.options):
        yield f"`{name}` is {encode(given)}, and not one of {_listed(expected.options)}"
    if expected.moptions:
        several = given if isinstance(given, list) else str(given).split(",")
        known = {str(one) for one in expected.moptions}
        for one in several:
            if str(one).strip() not in known:
                yield f"`{name}` has {encode(one)}, which is none of {_listed(expected.moptions)}"


def _listed(choice: Iterable[Any]) -> str:
    return ", ".join(str(one) for one in choice)
