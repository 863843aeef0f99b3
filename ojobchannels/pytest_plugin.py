"""The pytest plugin. Every test run in an environment with this package loads it, so it is small.

The implementation is in `ojobchannels.testing.fixtures`, imported when a test uses a fixture.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from ojobchannels.testing.fixtures.server_types import SERVER_TYPES, ServerType

if TYPE_CHECKING:
    from ojobchannels.channels.channel import Channel
    from ojobchannels.manager import JobManager
    from ojobchannels.ojob import RunResult
    from ojobchannels.testing.clock import ManualClock
    from ojobchannels.testing.fixtures.faults import Faults
    from ojobchannels.testing.fixtures.job_files import JobFiles
    from ojobchannels.testing.fixtures.schedules import Schedules
    from ojobchannels.testing.fixtures.shared_servers import SharedServer
    from ojobchannels.testing.fixtures.storage import IsolatedStorage

pytest_plugins = ("ojobchannels.testing.conformance.pytest_plugin",)

_TYPES = ", ".join(["simple", "file", "db", *SERVER_TYPES, "or the types of other plugins"])


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare options and ini values."""
    group = parser.getgroup("ojobchannels", "channels, locks and jobs (ojobchannels)")
    group.addoption(
        "--ojob-backends",
        metavar="TYPES",
        help="comma-separated channel types; tests that use ojob_channel, ojob_channel_factory or "
        f"ojob_manager run once on each of them: {_TYPES}",
    )
    for server in SERVER_TYPES.values():
        group.addoption(
            server.option,
            metavar="URL",
            help=f"{server.product} server for the tests; by default they start one "
            f"(variable: {server.variable})",
        )
    group.addoption(
        "--ojob-require-servers",
        action="store_true",
        help="fail tests whose server or plugin is missing, instead of skipping them "
        "(variable: OJOBCHANNELS_REQUIRE_SERVERS)",
    )
    parser.addini(
        "ojob_backends",
        f"channel types to run tests on, as with --ojob-backends: {_TYPES}",
        type="args",
        default=[],
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker; check the channel types of --ojob-backends."""
    config.addinivalue_line(
        "markers",
        "ojob_backends(*types): run the test once on each of these channel types; takes "
        "precedence over --ojob-backends. On a class of unittest the types may be left out",
    )
    if config.getoption("ojob_backends") is not None:
        from ojobchannels.testing.fixtures import backend_choice

        backend_choice.check_option(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once on each channel type that was chosen for it."""
    if "_ojob_type" in metafunc.fixturenames:
        from ojobchannels.testing.fixtures import backend_choice

        backend_choice.run_on_each_type(metafunc)


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(obj: object) -> Generator[None, Any, Any]:
    """Run a class of unittest once on each channel type that was chosen for it."""
    made = yield
    is_marked = isinstance(made, pytest.Class) and made.obj is obj  # which reads its marks
    if not is_marked or made.get_closest_marker("ojob_backends") is None:
        return made
    from ojobchannels.testing.fixtures import backend_choice

    return backend_choice.one_class_for_each_type(made)


@pytest.fixture
def ojob_channel(ojob_channel_factory: IsolatedStorage) -> Channel:
    """A new, empty channel of one test: type `simple`, or each type of --ojob-backends."""
    return ojob_channel_factory.open_channel()


@pytest.fixture
def ojob_channel_factory(
    request: pytest.FixtureRequest, ojob_backend: str
) -> Iterator[IsolatedStorage]:
    """Opens further handles and channels in the storage of ojob_channel: call it with a name."""
    from ojobchannels.testing.fixtures import factories

    with factories.open_storage(request, ojob_backend) as storage:
        yield storage


@pytest.fixture
def ojob_manager(ojob_channel_factory: IsolatedStorage) -> JobManager:
    """A JobManager whose channels are in the storage of ojob_channel."""
    return ojob_channel_factory.open_manager()


@pytest.fixture
def ojob_backend(request: pytest.FixtureRequest, _ojob_type: str | None) -> str:
    """The channel type that the test runs on, such as `db`."""
    from ojobchannels.testing.fixtures import backend_choice

    return _ojob_type or backend_choice.only_type(request)


@pytest.fixture
def ojob_job_file(ojob_channel_factory: IsolatedStorage) -> Iterator[JobFiles]:
    """Runs job files on the channels of ojob_manager: `.run(path)`, `.start(path)` for daemons."""
    from ojobchannels.testing.fixtures.job_files import JobFiles

    files = JobFiles(ojob_channel_factory.config)
    yield files
    files.stop()


@pytest.fixture
def ojob_run_file(ojob_job_file: JobFiles) -> Callable[..., RunResult]:
    """Runs a job file to its end on the channels of ojob_manager: `(path, args)`."""
    return ojob_job_file.run


@pytest.fixture
def ojob_schedule(ojob_job_file: JobFiles) -> Iterator[Schedules]:
    """Starts schedules on a clock of the test: `(path, args, at=datetime)` or `(manager, at=…)`."""
    from ojobchannels.testing.fixtures.schedules import Schedules

    schedules = Schedules(ojob_job_file)
    yield schedules
    schedules.stop()


@pytest.fixture
def ojob_clock() -> ManualClock:
    """A manual clock that decides when the leases of the test's channels and jobs expire."""
    from ojobchannels.testing.clock import ManualClock

    return ManualClock()


@pytest.fixture
def ojob_faults() -> Iterator[Faults]:
    """Injects faults: lost leases, a server that is down, cut and delayed connections."""
    from ojobchannels.testing.fixtures.faults import Faults

    with Faults() as faults:
        yield faults


@pytest.fixture(scope="session")
def _ojob_type(request: pytest.FixtureRequest) -> str | None:
    """The parameter of `run_on_each_type`; None if no type was chosen."""
    chosen: str | None = getattr(request, "param", None)
    return chosen


@pytest.fixture(scope="session")
def _ojob_wide() -> None:
    """Marks tests that use a channel with a wider scope than `function`."""


def _storage_fixture(server: ServerType) -> Any:
    def storage_on_a_server(request: pytest.FixtureRequest) -> Iterator[IsolatedStorage]:
        from ojobchannels.testing.fixtures import factories

        with factories.open_storage(request, server.name) as storage:
            yield storage

    storage_on_a_server.__doc__ = (
        f"A real {server.product} server with a {server.part} for this test: `.url`, "
        "`.open_channel(name)`."
    )
    return pytest.fixture(storage_on_a_server)


def _server_fixture(server: ServerType) -> Any:
    def running_server(request: pytest.FixtureRequest) -> Iterator[SharedServer]:
        from ojobchannels.testing.fixtures import factories

        with factories.run_server(request.config, server.name) as running:
            yield running

    return pytest.fixture(scope="session")(running_server)


# `ojob_redis`, and the server that all tests of the session share, and so on for each type.
for _type in SERVER_TYPES.values():
    globals()[f"ojob_{_type.name}"] = _storage_fixture(_type)
    globals()[f"_ojob_{_type.name}_server"] = _server_fixture(_type)
