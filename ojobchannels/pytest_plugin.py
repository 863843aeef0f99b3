"""The pytest plugin, in every test run of an environment that has this package: thin and lazy.

The fixtures are in `ojobchannels.testing.fixtures.factories`, which loads when the first is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ojobchannels.channels.channel import Channel
    from ojobchannels.manager import JobManager
    from ojobchannels.testing.clock import ManualClock
    from ojobchannels.testing.fixtures.faults import Faults
    from ojobchannels.testing.fixtures.shared_servers import SharedServer
    from ojobchannels.testing.fixtures.storage import Place

pytest_plugins = ("ojobchannels.testing.kit.pytest_plugin",)

_TYPES = "simple, file, db, redis, mongo, or whatever plugins offer"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declares options and ini values."""
    group = parser.getgroup("ojobchannels", "channels, locks and jobs (ojobchannels)")
    group.addoption(
        "--ojob-backends",
        metavar="TYPES",
        help="run each test that takes ojob_channel, ojob_channel_factory or ojob_manager once on "
        f"each of these channel types, separated by commas: {_TYPES}",
    )
    group.addoption(
        "--ojob-redis-url",
        metavar="URL",
        help="the Redis server of the tests, in place of one that they start "
        "(or OJOBCHANNELS_TEST_REDIS)",
    )
    group.addoption(
        "--ojob-mongo-url",
        metavar="URL",
        help="the MongoDB server of the tests, in place of one that they start "
        "(or OJOBCHANNELS_TEST_MONGO)",
    )
    group.addoption(
        "--ojob-require-servers",
        action="store_true",
        help="fail the tests whose server or plugin is missing, which are else skipped "
        "(or OJOBCHANNELS_REQUIRE_SERVERS)",
    )
    parser.addini(
        "ojob_backends",
        f"channel types to run on, as with --ojob-backends: {_TYPES}",
        type="args",
        default=[],
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marker; looks at the channel types of the command line, if it names any."""
    config.addinivalue_line(
        "markers",
        "ojob_backends(*types): run the test once on each of these channel types, whatever "
        "--ojob-backends says",
    )
    if config.getoption("ojob_backends"):
        from ojobchannels.testing.fixtures import backend_choice

        backend_choice.check_option(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a test once on each channel type that was chosen for it."""
    if "_ojob_type" in metafunc.fixturenames:
        from ojobchannels.testing.fixtures import backend_choice

        backend_choice.run_on_each_type(metafunc)


@pytest.fixture
def ojob_channel(ojob_channel_factory: Place) -> Channel:
    """A new, empty channel that no other test shares: `simple`, or each type of --ojob-backends."""
    return ojob_channel_factory.open_channel()


@pytest.fixture
def ojob_channel_factory(request: pytest.FixtureRequest, ojob_backend: str) -> Iterator[Place]:
    """Opens more handles and channels beside ojob_channel, and closes them: call it with a name."""
    from ojobchannels.testing.fixtures import factories

    with factories.lend(request, ojob_backend) as place:
        yield place


@pytest.fixture
def ojob_manager(ojob_channel_factory: Place) -> JobManager:
    """A JobManager with channels of its own, beside ojob_channel."""
    return ojob_channel_factory.open_manager()


@pytest.fixture
def ojob_backend(request: pytest.FixtureRequest, _ojob_type: str | None) -> str:
    """The channel type that this test runs on, such as `db`."""
    from ojobchannels.testing.fixtures import backend_choice

    return _ojob_type or backend_choice.only_type(request)


@pytest.fixture
def ojob_redis(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A real Redis server with keys of the test's own: `.url`, `.open_channel(name)`."""
    from ojobchannels.testing.fixtures import factories

    with factories.lend(request, "redis") as place:
        yield place


@pytest.fixture
def ojob_mongo(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A real MongoDB server with a database of the test's own: `.url`, `.open_channel(name)`."""
    from ojobchannels.testing.fixtures import factories

    with factories.lend(request, "mongo") as place:
        yield place


@pytest.fixture
def ojob_clock() -> ManualClock:
    """A clock that only the test moves; judges the leases of the test's channels and jobs."""
    from ojobchannels.testing.clock import ManualClock

    return ManualClock()


@pytest.fixture
def ojob_faults() -> Iterator[Faults]:
    """Loses leases; takes the test's server down and up, cuts and delays what goes to and fro."""
    from ojobchannels.testing.fixtures.faults import Faults

    with Faults() as faults:
        yield faults


@pytest.fixture(scope="session")
def _ojob_type(request: pytest.FixtureRequest) -> str | None:
    """What `run_on_each_type` gives; None if no type was chosen."""
    chosen: str | None = getattr(request, "param", None)
    return chosen


@pytest.fixture(scope="session")
def _ojob_wide() -> None:
    """Stands in the closure of a test that has a channel of a wider scope than its own."""


@pytest.fixture(scope="session")
def _ojob_redis_server(request: pytest.FixtureRequest) -> Iterator[SharedServer]:
    from ojobchannels.testing.fixtures import factories

    with factories.run_server(request.config, "redis") as running:
        yield running


@pytest.fixture(scope="session")
def _ojob_mongo_server(request: pytest.FixtureRequest) -> Iterator[SharedServer]:
    from ojobchannels.testing.fixtures import factories

    with factories.run_server(request.config, "mongo") as running:
        yield running
