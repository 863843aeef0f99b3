"""Opening channels: by keywords, by a mapping as in job files, or by a URL."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

from ojobchannels.backend_check import check_backend
from ojobchannels.channels.channel import Channel
from ojobchannels.documents import check_name
from ojobchannels.errors import InvalidOption, shown
from ojobchannels.hookspecs import ChannelType
from ojobchannels.host.clock import HOST_CLOCK, Clock
from ojobchannels.operations import ChannelPlugins, Operations
from ojobchannels.plugins import checked_options, registry

_extensions: list[object] = []


def open_channel(
    name: str,
    config: Mapping[str, Any] | str | None = None,
    *,
    extensions: Iterable[object] = (),
    **options: Any,
) -> Channel:
    """Open a channel.

    Args:
        name: The channel's name.
        config: ``{"type": "db", "args": {"file": …}}`` as in job files, or a URL such as
            ``sqlite:///data/orders.db``; by default only the keywords are used.
        extensions: Objects whose hook wrappers wrap the operations of this channel.
        options: ``type`` (by default ``simple``) and the options of that type; ``ojob channels``
            lists them.

    Raises:
        UnknownChannelType: No plugin provides the type; the message names the package to install.
        InvalidOption: An option is unknown, missing or of the wrong type.
        InvalidBackend: The backend does not implement the operations as specified.
        ChannelUnavailable: The storage cannot be opened.
        ChannelDamaged: The stored data cannot be read; it is left unchanged.

    Example:
        >>> import ojobchannels as oc
        >>> with oc.open_channel("docs", type="simple") as channel:
        ...     channel.size()
        0
    """
    check_name("channel", name)
    return prepared(config, extensions=extensions, **options)(name)


def prepared(
    config: Mapping[str, Any] | str | None = None,
    *,
    extensions: Iterable[object] = (),
    **options: Any,
) -> Callable[[str], Channel]:
    """Check a configuration now, and return the function that opens the channel of a name.

    The arguments and the errors are those of `open_channel`. Relative paths in the configuration
    are relative to the working directory now.
    """
    if config is not None and "type" in options:
        advice = "pass either a configuration, such as a URL, or keywords"
        raise InvalidOption("option 'type'", "the configuration gives the type", advice)
    if isinstance(config, str):
        type, url_options = from_url(config)
        options = {**url_options, **options}
    else:
        type_name, options = _from_mapping(config, options)
        type = registry().find(type_name)
    return partial(_open, type, checked_options(type, options), extensions=extensions)


def _open(
    type: ChannelType, options: Mapping[str, Any], name: str, extensions: Iterable[object] = ()
) -> Channel:
    plugins = ChannelPlugins((*_extensions, *extensions))
    backend = type.open(name, options)
    capabilities = type.capabilities | getattr(backend, "capabilities", frozenset())
    check_backend(type.name, backend, capabilities)
    plugins.add(backend)
    operations = Operations(plugins)
    clock = cast("Clock", options.get("clock", HOST_CLOCK))
    return Channel(name, type.name, capabilities, operations, clock, partial(_open, type, options))


def from_url(url: str) -> tuple[ChannelType, Mapping[str, Any]]:
    """Return the channel type of a URL, and the options in it.

    Raises:
        UnknownChannelType: No plugin provides the scheme; the message names the package to install.
        InvalidOption: The URL is not a valid URL of that type.
    """
    type = registry().find_scheme(_scheme(url))
    return type, type.parse_url(url) if type.parse_url else {}


def _scheme(url: str) -> str:
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise InvalidOption(
            "channel URL", f"{shown(url)} cannot be read: {error}", "see the channel type's URLs"
        ) from error
    if not scheme:
        reason = f"{shown(url)} has no scheme"
        advice = f'write one such as sqlite:///data.db, or {{"type": {shown(url)}, "args": {{…}}}}'
        raise InvalidOption("channel URL", reason, advice)
    return scheme


def add_extension(extension: object) -> None:
    """Wrap the operations of every channel that is opened later with an extension."""
    _extensions.append(extension)


def remove_extension(extension: object) -> None:
    """Stop using an extension for channels that are opened later."""
    _extensions.remove(extension)


def _from_mapping(
    config: Mapping[str, Any] | None, options: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    if config is None:
        return options.pop("type", None) or "simple", options
    if not isinstance(config, Mapping):
        raise InvalidOption(
            "channel configuration",
            f"{shown(config)} is neither a map nor a URL",
            'write {"type": "db", "args": {"file": "data.db"}}, or a URL',
        )
    unknown = sorted(set(config) - {"type", "args"})
    if unknown:
        reason = f"{shown(unknown[0])} is not a known key"
        advice = "its keys are type and args; the options of the type belong in args"
        raise InvalidOption("channel configuration", reason, advice)
    args = config.get("args")
    if args is None:
        args = {}
    if not isinstance(args, Mapping):
        raise InvalidOption(
            "args of a channel", f"{shown(args)} is not a map", "write option: value"
        )
    return config.get("type") or "simple", {**args, **options}
