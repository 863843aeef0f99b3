"""What the fixtures of the pytest plugin do, and factories of more such fixtures.

`channel_fixture` and its kin make variants with a name, a type and a scope of their own::

    orders = channel_fixture("orders", type="db", scope="module")
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, TypeAlias

import pytest

from ojobchannels.errors import ChannelError, UnknownChannelType
from ojobchannels.hookspecs import ChannelType
from ojobchannels.opening import open_channel
from ojobchannels.plugins import registry
from ojobchannels.testing import selection
from ojobchannels.testing.places import STEM, Place

if TYPE_CHECKING:
    from ojobchannels.testing.faults import Faults
    from ojobchannels.testing.shared import SharedServer

__all__ = ["channel_fixture", "manager_fixture", "mongo_fixture", "redis_fixture"]

Scope: TypeAlias = Literal["function", "class", "module", "package", "session"]

_ON_SERVERS: Final = ("redis", "mongo")
_PATHS: Final = ("file", "path", "folder", "directory")
_PATIENCE: Final = 5.0
_REQUIRE: Final = "OJOBCHANNELS_REQUIRE_SERVERS"


def channel_fixture(
    name: str | None = None,
    *,
    type: str | None = None,
    scope: Scope = "function",
    **options: Any,
) -> Any:
    """Makes a fixture that gives an open channel, empty at first and closed at the end.

    Args:
        name: The channel's name; a new one by default.
        type: The channel type; by default that of `ojob_channel`, each in turn.
        scope: How long it lives, as for `pytest.fixture`.
        options: Further options of the channel type, such as ``durable=False``.
    """
    told = f"A channel {name or 'of its own'}, open and empty, type {type or 'as ojob_channel'}."
    return _fixture(told, type, scope, options, lambda place: place.open_channel(name))


def manager_fixture(*, type: str | None = None, scope: Scope = "function", **options: Any) -> Any:
    """Makes a fixture that gives a job manager with channels of its own.

    Args:
        type: The type of its channels; by default that of `ojob_channel`, each in turn.
        scope: How long it lives, as for `pytest.fixture`.
        options: ``threads`` and ``on_failure``, as for `ojobchannels.JobManager`.
    """
    told = f"A JobManager with channels of its own, type {type or 'as ojob_channel'}."
    return _fixture(told, type, scope, {}, lambda place: place.open_manager(**options))


def redis_fixture(*, scope: Scope = "function", **options: Any) -> Any:
    """Makes a fixture like `ojob_redis`, with keys of its own.

    Args:
        scope: How long it lives, as for `pytest.fixture`.
        options: Options for all channels that it opens, such as ``timeout=1``.
    """
    told = "A real Redis server with keys of its own."
    return _fixture(told, "redis", scope, options, lambda place: place)


def mongo_fixture(*, scope: Scope = "function", **options: Any) -> Any:
    """Makes a fixture like `ojob_mongo`, with a database of its own.

    Args:
        scope: How long it lives, as for `pytest.fixture`.
        options: Options for all channels that it opens, such as ``timeout=1``.
    """
    told = "A real MongoDB server with a database of its own."
    return _fixture(told, "mongo", scope, options, lambda place: place)


def _fixture(
    told: str,
    type: str | None,
    scope: Scope,
    options: dict[str, Any],
    give: Callable[[Place], object],
) -> Any:
    # pytest finds out by the arguments which fixtures, and so which types, a test stands on.
    def of_that_type(request: pytest.FixtureRequest) -> Iterator[object]:
        with lend(request, str(type), **options) as place:
            yield give(place)

    def of_each_type(request: pytest.FixtureRequest, ojob_backend: str) -> Iterator[object]:
        with lend(request, ojob_backend, **options) as place:
            yield give(place)

    def of_each_type_for_long(
        request: pytest.FixtureRequest,
        _ojob_type: str | None,
        _ojob_wide: None,
    ) -> Iterator[object]:
        with lend(request, _ojob_type or selection.only_type(request), **options) as place:
            yield give(place)

    made: Callable[..., Iterator[object]] = of_that_type
    if type is None:
        made = of_each_type if scope == "function" else of_each_type_for_long
    made.__doc__ = told
    return pytest.fixture(scope=scope)(made)


@contextmanager
def lend(request: pytest.FixtureRequest, type: str, **options: Any) -> Iterator[Place]:
    """Lends a place of that type; afterwards nothing is left of it.

    Skips the test, or fails it with --ojob-require-servers, where something is not installed.
    """
    channel_type = _find(request.config, type)
    clock = _clock(request, channel_type)
    faults = _faults(request)
    with ExitStack() as stack:
        if type in _ON_SERVERS and "url" not in options:
            server: SharedServer = request.getfixturevalue(f"_ojob_{type}_server")
            token = _token()
            stack.callback(server.clear, token)
            behind = faults.stand_before(server) if faults else None
            where = {"url": server.url_of(token, behind)}
            place = Place(type, where | options, clock=clock, server=server.process)
            stack.callback(place.close)
            stack.callback(server.mend)
        else:
            where = _files(request, channel_type, options, stack)
            place = Place(type, where | options, clock=clock)
            if not where:
                stack.callback(place.destroy)
            stack.callback(place.close)
        if faults:
            stack.callback(faults.heal)  # else closing would wait for what does not come
        yield place


def _files(
    request: pytest.FixtureRequest,
    channel_type: ChannelType,
    options: dict[str, Any],
    stack: ExitStack,
) -> dict[str, str]:
    """Gives each path that the type needs and nobody named; they are removed with the stack."""
    needed = [one.name for one in channel_type.options if one.required and one.name in _PATHS]
    asked = [name for name in needed if name not in options]
    if not asked:
        return {}
    base: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    folder: Path = base.mktemp(f"ojob-{secrets.token_hex(6)}", numbered=False)
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return {name: str(folder / f"channel.{channel_type.name}") for name in asked}


def _find(config: pytest.Config, type: str) -> ChannelType:
    try:
        found = registry().find(type)
        missing = ""
    except UnknownChannelType as unknown:
        if unknown.distribution is None:
            raise
        missing = str(unknown)
    if type in _ON_SERVERS:
        missing = "; ".join(filter(None, (missing, _kind(type).missing(_url(config, type)))))
    if missing:
        _refuse(config, missing)
    return found


@contextmanager
def run_server(config: pytest.Config, type: str) -> Iterator[SharedServer]:
    """Gives the server of that type that an option or variable names, or starts one."""
    from ojobchannels.testing.programs import ServerMissing

    with ExitStack() as stack:
        try:
            running = stack.enter_context(_kind(type).run(_url(config, type)))
        except ServerMissing as missing:  # it lacks a library
            _refuse(config, str(missing))
        if running.process is None:
            _greet(running, type)
        yield running


def _token() -> str:
    return STEM + secrets.token_hex(6)


def _greet(given: SharedServer, type: str) -> None:
    """Finds out once for all tests that a server of somebody else's cannot be used."""
    token = _token()
    try:
        open_channel("test", given.url_of(token), timeout=_PATIENCE).close()
        given.clear(token)
    except ChannelError as error:
        pytest.fail(f"the server at --ojob-{type}-url, or of the variable: {error}", pytrace=False)


def _refuse(config: pytest.Config, missing: str) -> NoReturn:
    __tracebackhide__ = True
    if config.getoption("ojob_require_servers") or os.environ.get(_REQUIRE):
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)


def _kind(type: str) -> Any:
    from ojobchannels.testing import shared  # slow to import, and seldom needed

    return shared.KINDS[type]


def _url(config: pytest.Config, type: str) -> str | None:
    url: str | None = config.getoption(f"ojob_{type}_url")
    return url


def _clock(request: pytest.FixtureRequest, channel_type: ChannelType) -> object:
    if not _is_taken(request, "ojob_clock"):
        return None
    if "clock" in channel_type.capabilities:
        return request.getfixturevalue("ojob_clock")
    why = (
        f"type {channel_type.name!r} has not the capability 'clock': a test cannot turn what "
        "judges its leases, so it cannot take ojob_clock"
    )
    if "ojob_backend" in request.fixturenames:
        pytest.skip(why)
    pytest.fail(f"{why}; take types simple, file or db for that", pytrace=False)


def _faults(request: pytest.FixtureRequest) -> Faults | None:
    if not _is_taken(request, "ojob_faults"):
        return None
    faults: Faults = request.getfixturevalue("ojob_faults")
    return faults


def _is_taken(request: pytest.FixtureRequest, fixture: str) -> bool:
    """Tells whether the test takes a fixture that lives as long as the test."""
    return request.scope == "function" and fixture in request.fixturenames
