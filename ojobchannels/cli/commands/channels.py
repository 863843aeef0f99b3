"""``ojob channels``: which channel types there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from ojobchannels.cli.tables import Column, json_option, print_json, show

if TYPE_CHECKING:
    from ojobchannels.hookspecs import Option
    from ojobchannels.plugins import Registry

_KINDS: Final = {str: "text", int: "number", float: "number", bool: "true/false", object: "any"}

TYPES: Final = (
    Column("type", lambda type: type["type"]),
    Column("url", lambda type: " ".join(f"{scheme}://" for scheme in type["schemes"])),
    Column("provided by", lambda type: type["distribution"]),
    Column("what it is", lambda type: type["summary"], folds=True),
)
OPTIONS: Final = (
    Column("type", lambda option: option["type"]),
    Column("option", lambda option: option["name"]),
    Column("takes", lambda option: option["takes"]),
    Column("default", lambda option: _default(option)),
    Column("what it is", lambda option: option["help"], folds=True),
)
FAILURES: Final = (
    Column("failed to load", lambda failure: failure["name"]),
    Column("provided by", lambda failure: failure["distribution"]),
    Column("why", lambda failure: failure["error"], folds=True),
)
CONFLICTS: Final = (
    Column("in conflict", lambda conflict: conflict["type"]),
    Column(
        "provided by each of", lambda conflict: ", ".join(conflict["distributions"]), folds=True
    ),
)


@click.command(short_help="Show the channel types, and what failed to load.")
@json_option
def channels(as_json: bool) -> None:
    """Shows the channel types that can be used, with their options and who provides them.

    Also plugins that failed to load, and types that cannot be used because several distributions
    offer them.
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
        show(rows, columns, as_json=False, nothing="")


def _described(registry: Registry) -> dict[str, list[dict[str, Any]]]:
    return {
        "types": [
            {
                "type": one.name,
                "summary": one.summary,
                "distribution": distribution,
                "schemes": list(one.schemes),
                "capabilities": sorted(one.capabilities),
                "options": [_option(option) for option in one.options if _can_be_written(option)],
            }
            for one, distribution in registry.all()
        ],
        "failures": [
            {
                "name": failure.name,
                "distribution": failure.distribution,
                "error": f"{type(failure.error).__name__}: {failure.error}",
            }
            for failure in registry.failures
        ],
        "conflicts": [
            {"type": name, "distributions": list(distributions)}
            for name, distributions in registry.conflicts().items()
        ],
    }


def _can_be_written(option: Option) -> bool:
    """Tells whether an option can stand in a file; the clock, an object of Python's, cannot."""
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
