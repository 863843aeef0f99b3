"""Configurations of channels as a job file writes them, checked without opening anything."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

from ojobchannels.channels.opening import from_url
from ojobchannels.errors import ChannelError, Diagnostic, InvalidOption, UnknownChannelType
from ojobchannels.hookspecs import ChannelType, Option
from ojobchannels.ojob.args.templates import has_template
from ojobchannels.ojob.yaml.positions import DocumentPath
from ojobchannels.ojob.yaml.source import Source
from ojobchannels.plugins import checked_options, converted, offered_options, registry
from ojobchannels.suggestions import closest, did_you_mean

_CHANNELS: Final = ("chJobs", "chLocks")
_KINDS: Final = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}
_PARTS: Final = ("type", "args")


class ConfigFault(NamedTuple):
    """What is wrong with a configuration.

    Attributes:
        path: Where in it.
        message: What is wrong.
        hint: What to do about it.
        at_key: Whether it is a key that is wrong, and not its value.
        here: Whether it is wrong only here, where something is not installed.
    """

    path: DocumentPath
    message: str
    hint: str
    at_key: bool = False
    here: bool = False


def faults_in_args(source: Source, path: DocumentPath, args: Any) -> Iterator[Diagnostic]:
    """Yields what is wrong with the channels of the manager in args, or in a list of args."""
    if isinstance(args, list):
        for at, one in enumerate(args):
            yield from faults_in_args(source, (*path, at), one)
    for key in _CHANNELS if isinstance(args, dict) else ():
        for fault in config_faults(args.get(key)):
            where = (*path, key, *fault.path)
            yield source.diagnostic(where, fault.message, fault.hint, at_key=fault.at_key)


def config_faults(config: Any) -> Iterator[ConfigFault]:
    """Yields what is wrong with a configuration, except for what templates leave open."""
    match config:
        case None:
            return
        case str():
            if not has_template(config):
                yield from _of_url(config)
        case dict():
            yield from _of_map(config)
        case _:
            hint = "write `{type: db, args: {file: data.db}}`, or a URL"
            yield ConfigFault((), "a channel is described by a map or a URL", hint)


def _of_url(url: str) -> Iterator[ConfigFault]:
    try:
        checked_options(*from_url(url))
    except ChannelError as error:
        yield ConfigFault((), *_words(error), here=_is_missing(error))


def _of_map(config: dict[str, Any]) -> Iterator[ConfigFault]:
    name, args = config.get("type") or "simple", config.get("args")
    type: ChannelType | None = None
    if not isinstance(name, str):
        yield ConfigFault(("type",), "the type of a channel is text", "write one such as `db`")
    elif has_template(name):
        return
    else:
        try:
            type = registry().find(name)
        except ChannelError as error:
            yield ConfigFault(("type",), *_words(error), here=_is_missing(error))
    for key in (key for key in config if key not in _PARTS):
        belongs = type is not None and key in offered_options(type)
        hint = "it belongs into `args`" if belongs else did_you_mean(key, _PARTS)
        yield ConfigFault((key,), f"unknown key `{key}` of a channel", hint, at_key=True)
    if args is not None and not isinstance(args, dict):
        yield ConfigFault(("args",), "the args of a channel are a map", "write `option: value`")
    elif type is not None:
        yield from _of_options(type, args or {}, beside=config.keys())


def _of_options(
    type: ChannelType, given: dict[str, Any], beside: Collection[str]
) -> Iterator[ConfigFault]:
    known = offered_options(type)
    meant = {*given, *beside, *(closest(name, known) for name in given if name not in known)}
    for name, value in given.items():
        if name not in known:
            said = f"type {type.name!r} takes no option `{name}`"
            hint = did_you_mean(name, known) or "it takes none at all"
            yield ConfigFault(("args", name), said, hint, at_key=True)
        elif known[name].required and value in (None, ""):
            yield ConfigFault(("args", name), f"the option `{name}` is empty", _help(known[name]))
        elif not (isinstance(value, str) and has_template(value)):
            yield from _of_value(type, known[name], value)
    for name, option in known.items():
        if option.required and name not in meant:
            said = f"type {type.name!r} needs the option `{name}`"
            yield ConfigFault((), said, f"{_help(option)} below `args`")


def _of_value(type: ChannelType, option: Option, value: Any) -> Iterator[ConfigFault]:
    try:
        converted(type, option, value)
    except InvalidOption:
        said = f"the option `{option.name}` of type {type.name!r} takes {_KINDS.get(option.type)}"
        yield ConfigFault(("args", option.name), said, f"it means: {option.help}")


def _help(option: Option) -> str:
    return f"give the {option.help}"


def _words(error: ChannelError) -> tuple[str, str]:
    said, _, hint = str(error).rpartition("; ")
    if isinstance(error, UnknownChannelType) and error.distribution is None:
        hint = did_you_mean(error.type, error.known)
    return said, hint


def _is_missing(error: ChannelError) -> bool:
    unknown = isinstance(error, UnknownChannelType) and error.distribution is None
    return not unknown and not isinstance(error, InvalidOption)
