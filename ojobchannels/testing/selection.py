"""Which channel types a test runs on: its marker, the option, the ini value."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Final, Literal

import pytest

from ojobchannels.errors import ChannelError, UnknownChannelType
from ojobchannels.plugins import registry

_DEFAULT: Final = "simple"


def check_option(config: pytest.Config) -> None:
    """Refuses channel types of the command line that there are not."""
    fault = _fault_in(_split(config.getoption("ojob_backends")))
    if fault:
        raise pytest.UsageError(f"--ojob-backends: {fault}")


def run_on_each_type(metafunc: pytest.Metafunc) -> None:
    """Has a test run once on each type of its marker, of the option, or of the ini value."""
    types = _chosen(metafunc.config, metafunc.definition)
    if types:
        wide = "_ojob_wide" in metafunc.fixturenames
        scope: Literal["session", "function"] = "session" if wide else "function"
        metafunc.parametrize("_ojob_type", types, indirect=True, scope=scope)


def only_type(request: pytest.FixtureRequest) -> str:
    """Returns the type for a fixture that was asked for by `getfixturevalue`."""
    types = _chosen(request.config, request.node)
    if len(types) > 1:
        pytest.fail(
            f"there are several channel types to run on ({', '.join(types)}): take the fixture as "
            "an argument of the test, or mark it usefixtures",
            pytrace=False,
        )
    return types[0] if types else _DEFAULT


def _chosen(config: pytest.Config, node: Any) -> list[str]:
    marker = node.get_closest_marker("ojob_backends")
    if marker is not None:
        types = list(marker.args)
        fault = "name at least one channel type" if not types else _fault_in(types)
        where = "@pytest.mark.ojob_backends"
    elif config.getoption("ojob_backends"):
        return _split(config.getoption("ojob_backends"))
    else:
        types = _split(*config.getini("ojob_backends"))
        fault, where = _fault_in(types), "the ini value ojob_backends"
    if fault:
        pytest.fail(f"{where}: {fault}", pytrace=False)
    return _once(types)


def _split(*words: str) -> list[str]:
    types = [one.strip() for word in words for one in word.split(",")]
    return _once(filter(None, types))


def _once(types: Iterable[str]) -> list[str]:
    # pytest 8 knows a parameter again by its identity.
    return list(dict.fromkeys(map(sys.intern, types)))


def _fault_in(types: list[Any]) -> str:
    for type in types:
        if not isinstance(type, str):
            return f"{type!r} is no name of a channel type"
        try:
            registry().find(type)
        except UnknownChannelType as unknown:
            if unknown.distribution is None:
                return str(unknown)
        except ChannelError:
            continue  # the test's set-up tells
    return ""
