"""``ojob channels``: the available channel types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from ojobchannels.cli.tables import Column, print_json, show, table_options

if TYPE_CHECKING:
    from ojobchannels.hookspecs import Option
    from ojobchannels.plugins import Registry

_KINDS: Final = {str: "text", int: "number", float: "number", bool: "true/false", object: "any"}

TYPES: Final = (
    Column("type", lambda type: type["type"]),
    Column("url", lambda type: " ".join(f"{scheme}://" for scheme in type["schemes"]), cut=True),
    Column("provided by", lambda type: type["distribution"]),
    Column("description", lambda type: type["summary"], cut=True),
)
OPTIONS: Final = (
    Column("type", lambda option: option["type"]),
    Column("option", lambda option: option["name"]),
    Column("takes", lambda option: option["takes"]),
    Column("default", lambda option: _default(option)),
    Column("description", lambda option: option["help"], cut=True),
)
FAILURES: Final = (
    Column("failed to load", lambda failure: failure["name"]),
    Column("provided by", lambda failure: failure["distribution"]),
    Column("error", lambda failure: failure["error"], cut=True),
)
CONFLICTS: Final = (
    Column("in conflict", lambda conflict: conflict["type"]),
    Column("provided by each of", lambda conflict: ", ".join(conflict["distributions"]), cut=True),
)


@click.command(short_help="Show the channel types and their options.")
@table_options
def channels(as_json: bool, wide: bool) -> None:
    """Show the available channel types, their options and the distributions that provide them.

    Plugins that failed to load are listed too, and types that cannot be used because several
    distributions provide them.
    """
    from ojobchannels.plugins import registry

    found = _described(registry())
    if as_json:
        print_json(found)
        return
    types = found["types"]
    options = [option | {"type": type["type"]} for type in types for option in type["options"]]
    tables = (
        (types, TYPES),
        (options, OPTIONS),
        (found["failures"], FAILURES),
        (found["conflicts"], CONFLICTS),
    )
    for number, (rows, columns) in enumerate(table for table in tables if table[0]):
        if number:
            click.echo()
        show(rows, columns, wide=wide)


def _described(registry: Registry) -> dict[str, list[dict[str, Any]]]:
    return {
        "types": [
            {
                "type": offered.name,
                "summary": offered.summary,
                "distribution": distribution,
                "schemes": list(offered.schemes),
                "capabilities": sorted(offered.capabilities),
                "options": [_option(option) for option in offered.options if _is_json(option)],
            }
            for offered, distribution in registry.all()
        ],
        "failures": [
            failure._asdict() | {"error": f"{type(failure.error).__name__}: {failure.error}"}
            for failure in registry.failures
        ],
        "conflicts": [
            {"type": name, "distributions": list(distributions)}
            for name, distributions in registry.conflicts().items()
        ],
    }


def _is_json(option: Option) -> bool:
    """Return whether an option can be set in a file; the clock, a Python object, cannot."""
    return isinstance(option.default, str | int | float | None)


def _option(option: Option) -> dict[str, Any]:
    return {
        "name": option.name,
        "takes": _KINDS.get(option.type, option.type.__name__),
        "required": option.required,
        "default": option.default,
        "help": option.help,
    }


def _default(option: Any) -> str:
    if option["required"]:
        return "(required)"
    default = option["default"]
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default or "")
