"""The help of a job file, and the arguments that it expects."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ojobchannels.documents import encode
from ojobchannels.errors import InvalidJobArgs
from ojobchannels.masking import MASK, is_secret_name
from ojobchannels.ojob.schema.model import ExpectSpec, HelpSpec


class Help(NamedTuple):
    """The help of a job file and of the files that it includes.

    Attributes:
        text: The text of the last file that has one.
        expects: The arguments, by name; the last file that describes one counts.
    """

    text: str
    expects: Mapping[str, ExpectSpec]


def help_of(specs: Iterable[HelpSpec | None]) -> Help:
    """Return the help of several files as one."""
    text, expects = "", dict[str, ExpectSpec]()
    for spec in specs:
        if spec is not None:
            text = spec.text or text
            expects |= {one.name: one for one in spec.expects}
    return Help(text, expects)


def check_expected(name: str, help: Help, args: Mapping[str, Any]) -> None:
    """Check the arguments of a run against those that its file expects.

    Raises:
        InvalidJobArgs: Some are missing, or are not among the allowed values.
    """
    errors = [error for one in help.expects.values() for error in _errors(one, args)]
    if errors:
        advice = f"`ojob run {name} --help` lists the arguments"
        raise InvalidJobArgs(name, "; ".join(errors), advice)


def described(expected: ExpectSpec) -> str:
    """Return the description of an argument, in one line."""
    choice = expected.options or expected.moptions
    parts = [
        expected.desc,
        f"{'one' if expected.options else 'some'} of {_listed(choice)}" if choice else "",
        "" if expected.example is None else f"such as {expected.example}",
        "required" if expected.mandatory else "",
    ]
    return "; ".join(part for part in parts if part)


def _errors(expected: ExpectSpec, args: Mapping[str, Any]) -> Iterator[str]:
    value, name = args.get(expected.name), expected.name
    if value is None:
        if expected.mandatory:
            meaning = f" ({expected.desc})" if expected.desc else ""
            example = "…" if expected.example is None else expected.example
            yield f"`{name}`{meaning} is missing: pass {name}={example}"
        return
    if expected.options and str(value) not in map(str, expected.options):
        allowed = _listed(expected.options)
        yield f"`{name}` is {_shown(expected, value)}; it must be one of {allowed}"
    if expected.moptions:
        several = value if isinstance(value, list) else str(value).split(",")
        known = {str(one) for one in expected.moptions}
        for one in several:
            if str(one).strip() not in known:
                allowed = _listed(expected.moptions)
                yield f"`{name}` contains {_shown(expected, one)}; allowed values: {allowed}"


def _shown(expected: ExpectSpec, value: Any) -> str:
    return MASK if expected.secret or is_secret_name(expected.name) else encode(value)


def _listed(choice: Iterable[Any]) -> str:
    return ", ".join(map(str, choice))
