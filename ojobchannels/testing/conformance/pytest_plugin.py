"""The pytest plugin of the kit: `pytest --ojob-conformance=TYPE` tests an installed backend.

`ojobchannels.pytest_plugin` loads this module in every run, so it imports the kit on demand only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ojobchannels.testing.fixtures.server_types import SERVER_TYPES
from ojobchannels.testing.kit.report import Report
from ojobchannels.testing.stalls import Repeats

if TYPE_CHECKING:
    from ojobchannels.testing.forks import Forks
    from ojobchannels.testing.kit.subject import Subject

# Before the first import of the contracts, so that their assertions show the values.
pytest.register_assert_rewrite("ojobchannels.testing.contracts")

_SUITE = Path(__file__).with_name("default_suite.py")
_MARKERS = (
    "ojob_requires(*capabilities): run a promise only on backends that claim these capabilities",
    "ojob_without(*capabilities): run a promise only on backends that claim none of these "
    "capabilities",
    "ojob_timed: a promise that depends on real time, repeated if it fails and something stalled",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("ojobchannels", "channels, locks and jobs (ojobchannels)")
    group.addoption(
        "--ojob-conformance",
        metavar="TYPE",
        help="test the installed backend of this channel type with the conformance kit, and run no "
        "other tests",
    )
    group.addoption(
        "--ojob-conformance-option",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="an option of the channel type, such as url=redis://localhost; can be repeated",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers; with --ojob-conformance, replace all tests by the kit."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    config.pluginmanager.register(Report(config), "ojobchannels-conformance-report")
    config.pluginmanager.register(Repeats(), "ojobchannels-conformance-repeats")
    if config.getoption("ojob_conformance"):
        _check(config)
        config.args = [str(_SUITE)]


def _check(config: pytest.Config) -> None:
    from ojobchannels.errors import ChannelError
    from ojobchannels.plugins import checked_options, registry
    from ojobchannels.testing.kit.subject import temporary_paths

    if config.args_source is pytest.Config.ArgsSource.ARGS and not hasattr(config, "workerinput"):
        raise pytest.UsageError(
            "--ojob-conformance runs the kit only: remove the test paths from the command line"
        )
    try:
        channel_type = registry().find(config.getoption("ojob_conformance"))
        options = conformance_options(config)
        paths = temporary_paths(channel_type, options, Path())
        checked_options(channel_type, paths | options)
    except ChannelError as error:
        raise pytest.UsageError(f"--ojob-conformance: {error}") from error


def conformance_options(config: pytest.Config) -> dict[str, str]:
    """Return the options of --ojob-conformance-option by name."""
    pairs = [word.partition("=") for word in config.getoption("ojob_conformance_option")]
    for name, sign, _ in pairs:
        if not (name and sign):
            raise pytest.UsageError(f"--ojob-conformance-option {name!r}: write NAME=VALUE")
    return {name: value for name, _, value in pairs}


@pytest.fixture
def ojob_subject(request: pytest.FixtureRequest) -> Subject:
    """The storage that the conformance kit tests; override it to test your own backend."""
    type = request.config.getoption("ojob_conformance")
    if not type:
        pytest.fail(
            f"{getattr(request.cls, '__name__', 'the test')} has no fixture ojob_subject: add one "
            "that returns the storage to test, as in\n\n"
            "    @pytest.fixture\n"
            "    def ojob_subject(self, tmp_path):\n"
            "        return Subject('mine', {'folder': str(tmp_path)})\n",
            pytrace=False,
        )
    from ojobchannels.testing.kit.subject import Subject

    return Subject(type, _options(request, type))


@pytest.fixture(scope="session")
def _ojob_forks() -> Iterator[Forks]:
    """The process that forks the processes of promises; its import takes longer than most of them.

    It is there before the first test that needs it, and belongs to none.
    """
    from ojobchannels.testing.programs import new_forks

    with new_forks() as forks:
        yield forks


@pytest.fixture(scope="session")
def ojob_conformance_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of the server for --ojob-conformance=redis, for example: configured or started."""
    from ojobchannels.testing.fixtures import factories

    type = request.config.getoption("ojob_conformance")
    with ExitStack() as stack:
        try:
            server = stack.enter_context(factories.run_server(request.config, type))
        except (pytest.fail.Exception, pytest.skip.Exception) as refusal:
            reason = f"{refusal}; or set --ojob-conformance-option=url=…"
            pytest.exit(f"--ojob-conformance={type}: {reason}", 4)
        yield server.url


def _options(request: pytest.FixtureRequest, type: str) -> dict[str, Any]:
    from ojobchannels.plugins import registry
    from ojobchannels.testing.kit.subject import temporary_paths

    options: dict[str, Any] = dict(conformance_options(request.config))
    if type in SERVER_TYPES and not options.keys() & {"url", "host", "sentinels"}:
        # Before tmp_path, whose end fails if a missing server ends the run after it was made.
        options["url"] = request.getfixturevalue("ojob_conformance_server")
    folder: Path = request.getfixturevalue("tmp_path")
    return options | temporary_paths(registry().find(type), options, folder)
