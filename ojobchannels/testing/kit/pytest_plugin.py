"""The pytest plugin of the kit: `pytest --ojob-conformance=TYPE` proves an installed backend.

`ojobchannels.pytest_plugin` loads it in every run, so it imports the kit only when that is asked
for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ojobchannels.testing.kit.report import Report

if TYPE_CHECKING:
    from ojobchannels.testing.kit.subject import Subject

# Before anything imports them, so that their assertions tell what they saw.
pytest.register_assert_rewrite("ojobchannels.testing.contracts")

_SUITE = Path(__file__).with_name("default_suite.py")
_PLACES = ("file", "path", "folder", "directory")
_MARKERS = (
    "ojob_requires(*capabilities): a promise of backends that claim these capabilities",
    "ojob_without(*capabilities): a promise of backends that claim none of these capabilities",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declares the options."""
    group = parser.getgroup("ojobchannels", "channels, locks and jobs (ojobchannels)")
    group.addoption(
        "--ojob-conformance",
        metavar="TYPE",
        help="prove the installed backend of this channel type: run the whole kit, and that alone",
    )
    group.addoption(
        "--ojob-conformance-option",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="an option to open it with, such as url=redis://localhost; may be given again",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declares the markers; with --ojob-conformance puts the kit in the place of all tests."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    config.pluginmanager.register(Report(config), "ojobchannels-conformance-report")
    if config.getoption("ojob_conformance"):
        _check(config)
        config.args = [str(_SUITE)]


def _check(config: pytest.Config) -> None:
    from ojobchannels.errors import ChannelError
    from ojobchannels.plugins import checked_options, registry

    if config.args_source is pytest.Config.ArgsSource.ARGS and not hasattr(config, "workerinput"):
        raise pytest.UsageError(
            "--ojob-conformance runs the kit alone: leave out the paths of tests"
        )
    try:
        channel_type = registry().find(config.getoption("ojob_conformance"))
        given = options_given(config)
        defaults = {option.name: "" for option in channel_type.options if option.name in _PLACES}
        checked_options(channel_type, defaults | given)
    except ChannelError as error:
        raise pytest.UsageError(f"--ojob-conformance: {error}") from error


def options_given(config: pytest.Config) -> dict[str, str]:
    """Returns what --ojob-conformance-option said."""
    pairs = [word.partition("=") for word in config.getoption("ojob_conformance_option")]
    for name, sign, _ in pairs:
        if not (name and sign):
            raise pytest.UsageError(f"--ojob-conformance-option {name!r}: write NAME=VALUE")
    return {name: value for name, _, value in pairs}


@pytest.fixture
def ojob_subject(request: pytest.FixtureRequest) -> Subject:
    """The storage that the conformance kit proves: override it to prove a backend of yours."""
    type = request.config.getoption("ojob_conformance")
    if not type:
        pytest.fail(
            f"{getattr(request.cls, '__name__', 'the test')} has no fixture ojob_subject: add one "
            "that returns what to prove, as in\n\n"
            "    @pytest.fixture\n"
            "    def ojob_subject(self, tmp_path):\n"
            "        return Subject('mine', {'folder': str(tmp_path)})\n",
            pytrace=False,
        )
    from ojobchannels.testing.kit.subject import Subject

    return Subject(type, _options(request, type))


@pytest.fixture(scope="session")
def ojob_conformance_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a server for --ojob-conformance=redis or mongo, given or started."""
    from ojobchannels.testing.fixtures import factories

    type = request.config.getoption("ojob_conformance")
    with ExitStack() as stack:
        try:
            server = stack.enter_context(factories.run_server(request.config, type))
        except (pytest.fail.Exception, pytest.skip.Exception) as told:
            pytest.exit(f"--ojob-conformance={type}: {told}; or tell url=…", 4)
        yield server.url


def _options(request: pytest.FixtureRequest, type: str) -> dict[str, Any]:
    from ojobchannels.plugins import registry

    given: dict[str, Any] = dict(options_given(request.config))
    for option in registry().find(type).options:
        if option.name in _PLACES and option.required and option.name not in given:
            folder: Path = request.getfixturevalue("tmp_path")
            given[option.name] = str(folder / f"channel.{type}")
    if type in ("redis", "mongo") and not given.keys() & {"url", "host", "sentinels"}:
        given["url"] = request.getfixturevalue("ojob_conformance_server")
    return given
