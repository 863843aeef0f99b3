"""Checks configurations of channels in a job file, without opening a channel."""

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

from ojobchannels.errors import ChannelError, Diagnostic, InvalidOption, UnknownChannelType
from ojobchannels.hookspecs import ChannelType, Option
from ojobchannels.ojob.args.templates import has_template
from ojobchannels.ojob.load.graph import reach, reverse
from ojobchannels.ojob.load.job_file import INIT
from ojobchannels.ojob.load.specs import Specs, args_of_calls
from ojobchannels.ojob.schema.located import Located
from ojobchannels.ojob.yaml.source import DocumentPath
from ojobchannels.plugins import checked_options, converted, offered_options, registry
from ojobchannels.suggestions import closest, did_you_mean

MANAGER_CHANNELS: Final = ("chJobs", "chLocks")
"""The args that configure the channels of the manager."""

_KINDS: Final = {str: "a string", bool: "a boolean", int: "an integer", float: "a number"}
_PARTS: Final = ("type", "args")


class ConfigError(NamedTuple):
    """An error in the configuration of a channel.

    Attributes:
        path: Where in the configuration.
        at_key: Whether the key is wrong rather than its value.
        local: Whether it is only wrong on this host, where something is not installed.
    """

    path: DocumentPath
    message: str
    hint: str
    at_key: bool = False
    local: bool = False


def check_channels(specs: Specs) -> Iterator[Diagnostic]:
    """Yield what is wrong with the channels of the manager, in the args of what opens them."""
    opening = set(reach(reverse(specs.parts), INIT))
    for job in specs.jobs:
        if job.spec.name in opening:
            yield from _in_args(job, ("args",), job.spec.args)
    for entry in specs.todo:
        if entry.spec.called in opening:
            for steps, args in args_of_calls(entry):
                yield from _in_args(entry, steps, args)


def _in_args(
    where: Located[Any], steps: DocumentPath, args: dict[str, Any]
) -> Iterator[Diagnostic]:
    """Yield what is wrong with the channels of the manager in some args."""
    for key in MANAGER_CHANNELS:
        yield from diagnostics_of_config(where, (*steps, key), args.get(key))


def diagnostics_of_config(
    where: Located[Any], steps: DocumentPath, config: Any
) -> Iterator[Diagnostic]:
    """Yield what is wrong with the configuration of a channel."""
    for error in config_errors(config):
        path = (*steps, *error.path)
        yield where.diagnostic(path, error.message, error.hint, at_key=error.at_key)


def config_errors(config: Any) -> Iterator[ConfigError]:
    """Yield what is wrong with a configuration, apart from what templates leave open."""
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
            yield ConfigError((), "the configuration of a channel is a map or a URL", hint)


def _of_url(url: str) -> Iterator[ConfigError]:
    from ojobchannels.channels.opening import from_url  # with the channels, which most checks omit

    try:
        checked_options(*from_url(url))
    except ChannelError as error:
        yield ConfigError((), *_words(error), local=_is_missing(error))


def _of_map(config: dict[str, Any]) -> Iterator[ConfigError]:
    name, args = config.get("type") or "simple", config.get("args")
    type: ChannelType | None = None
    if not isinstance(name, str):
        message = "the type of a channel must be a string"
        yield ConfigError(("type",), message, "write one, such as `db`")
    elif has_template(name):
        return
    else:
        try:
            type = registry().find(name)
        except ChannelError as error:
            yield ConfigError(("type",), *_words(error), local=_is_missing(error))
    for key in (key for key in config if key not in _PARTS):
        belongs = type is not None and key in offered_options(type)
        hint = "it belongs in `args`" if belongs else did_you_mean(key, _PARTS)
        yield ConfigError((key,), f"unknown key `{key}` of a channel", hint, at_key=True)
    if args is not None and not isinstance(args, dict):
        message = "the args of a channel must be a map"
        yield ConfigError(("args",), message, "write `option: value`")
    elif type is not None:
        yield from _of_options(type, args or {}, beside=config.keys())


def _of_options(
    type: ChannelType, args: dict[str, Any], beside: Collection[str]
) -> Iterator[ConfigError]:
    known = offered_options(type)
    meant = {*args, *beside, *(closest(name, known) for name in args if name not in known)}
    for name, value in args.items():
        if name not in known:
            message = f"type {type.name!r} has no option `{name}`"
            hint = did_you_mean(name, known) or "it has no options"
            yield ConfigError(("args", name), message, hint, at_key=True)
        elif known[name].required and value in (None, ""):
            message = f"the option `{name}` is empty"
            yield ConfigError(("args", name), message, f"write the {known[name].help}")
        elif not (isinstance(value, str) and has_template(value)):
            yield from _of_value(type, known[name], value)
    for name, option in known.items():
        if option.required and name not in meant:
            message = f"type {type.name!r} needs the option `{name}`"
            yield ConfigError((), message, f"write the {option.help} below `args`")


def _of_value(type: ChannelType, option: Option, value: Any) -> Iterator[ConfigError]:
    try:
        converted(type, option, value)
    except InvalidOption:
        kind = _KINDS.get(option.type)
        message = f"the option `{option.name}` of type {type.name!r} must be {kind}"
        yield ConfigError(("args", option.name), message, f"its meaning: {option.help}")


def _words(error: ChannelError) -> tuple[str, str]:
    message, _, hint = str(error).rpartition("; ")
    if isinstance(error, UnknownChannelType) and error.distribution is None:
        hint = did_you_mean(error.type, error.known)
    return message, hint


def _is_missing(error: ChannelError) -> bool:
    unknown = isinstance(error, UnknownChannelType) and error.distribution is None
    return not unknown and not isinstance(error, InvalidOption)
