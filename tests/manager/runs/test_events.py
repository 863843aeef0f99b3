"""What plugins and callbacks hear of the runs of a manager."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.manager.hooks.spec import EVENTS
from ojobchannels.manager.records import STATUSES

if TYPE_CHECKING:
    from tests.manager.conftest import Managers

Heard = list[tuple[str, str]]


class Recorder:
    """A plugin with some of the hooks, whose arguments may be left out."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, object]] = []

    @oc.hookimpl
    def ojobchannels_run_started(self, record: oc.RunRecord, manager: oc.JobManager) -> None:
        self.heard.append((record.name, manager))

    @oc.hookimpl
    def ojobchannels_run_failed(self, record: oc.RunRecord) -> None:
        self.heard.append((record.name, record.error))


@pytest.fixture
def heard(simple_manager: oc.JobManager) -> Heard:
    """The events that callbacks of `simple_manager` have heard of, each with the status."""
    found: Heard = []
    for event in dict.fromkeys(EVENTS.values()):

        @simple_manager.on(event)
        def hear(record: oc.RunRecord, event: str = event) -> None:
            found.append((event, record.status))

    return found


def test_every_status_is_an_event() -> None:
    assert set(EVENTS) == set(STATUSES)


def test_callbacks_hear_of_starts_and_ends(simple_manager: oc.JobManager, heard: Heard) -> None:
    with simple_manager.run("load"), pytest.raises(oc.LockBusy):
        simple_manager.start("load")
    simple_manager.start("load").fail("no file")
    simple_manager.start("load").skip("nothing to do")
    assert heard == [
        ("started", "running"),
        ("skipped", "skipped"),
        ("succeeded", "completed"),
        ("started", "running"),
        ("failed", "failed"),
        ("started", "running"),
        ("skipped", "skipped"),
    ]


def test_callbacks_hear_of_lost_cancelled_and_dead_runs(
    simple_manager: oc.JobManager, heard: Heard
) -> None:
    lost = simple_manager.start("lost")
    simple_manager.locks.force_unlock("lost")
    with pytest.raises(oc.LockLost):
        lost.end()
    cancelled = simple_manager.start("cancelled")
    simple_manager.cancel(cancelled.run_id)
    cancelled.fail("stopped")
    simple_manager.start("dead")
    simple_manager.locks.force_unlock("dead")
    assert simple_manager.close_dead_runs() == 1
    ends = [each for each in heard if each[0] != "started"]
    assert ends == [("lost", "lost"), ("cancelled", "cancelled"), ("abandoned", "abandoned")]


def test_a_callback_without_events_hears_of_all_until_it_is_taken_off(
    simple_manager: oc.JobManager,
) -> None:
    statuses: list[str] = []

    @simple_manager.on()
    def hear(record: oc.RunRecord) -> None:
        statuses.append(record.status)

    simple_manager.start("load").end()
    simple_manager.off(hear)
    simple_manager.start("load").end()
    assert statuses == ["running", "completed"]


def test_a_plugin_gets_the_arguments_that_it_names(simple_managers: "Managers") -> None:
    plugin = Recorder()
    manager = simple_managers.open(plugins=[plugin])
    manager.start("load").fail("no file")
    assert plugin.heard == [("load", manager), ("load", "no file")]


def test_an_error_of_one_does_not_silence_the_others(
    simple_manager: oc.JobManager, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the run continues."""

    @simple_manager.on("started")
    def broken(record: oc.RunRecord) -> None:
        raise ValueError(record.name)

    @simple_manager.on("started")
    def later(record: oc.RunRecord) -> None:
        heard.append(("later", record.status))

    with simple_manager.run("load"):
        pass
    assert heard == [("started", "running"), ("later", "running"), ("succeeded", "completed")]
    (logged,) = [each for each in caplog.records if each.exc_info]
    assert logged.getMessage() == "a hook or callback for 'started' of job 'load' failed"


def test_what_could_never_be_called_is_refused(simple_manager: oc.JobManager) -> None:
    """An unknown event, a coroutine function, a plugin without hooks or with a misspelt one."""

    class Misspelt:
        @oc.hookimpl
        def ojobchannels_run_faild(self, record: oc.RunRecord) -> None:
            """Never called."""

    async def waits(record: oc.RunRecord) -> None:
        """Not awaited."""

    wrong: Any = "faild"
    refused: list[tuple[Callable[[], object], str]] = [
        (lambda: simple_manager.on(wrong)(print), "failed"),
        (lambda: simple_manager.on("failed")(waits), "callback"),
        (lambda: oc.JobManager(plugins=[object()]), "has no hook of runs"),
        (lambda: oc.JobManager(plugins=[Misspelt()]), "ojobchannels_run_failed"),
    ]
    for call, text in refused:
        with pytest.raises(oc.InvalidOption, match=text):
            call()


@pytest.mark.parametrize("begin", ["call", "launch", "run"])
def test_on_failure_hears_of_a_run_that_cannot_start(
    begin: str, simple_managers: "Managers", monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets a record that is not stored, and so does a callback for failures."""
    notices: list[oc.RunRecord] = []
    failures: list[oc.RunRecord] = []
    manager = simple_managers.open(on_failure=notices.append)
    manager.on("failed")(failures.append)
    job = manager.job("load")(lambda: None)
    begins: dict[str, Callable[[], object]] = {
        "call": job,
        "launch": lambda: manager.launch("load").result(60),
        "run": lambda: manager.start("load"),
    }

    def fail(*_: object, **__: object) -> None:
        raise oc.ChannelUnavailable("oJobManager-locks", "no connection", "wait")

    with monkeypatch.context() as patch:
        patch.setattr(manager.locks, "lock", fail)
        with pytest.raises(oc.ChannelUnavailable):
            begins[begin]()
    assert [(each.name, each.status) for each in notices] == [("load", "failed")]
    assert "no connection" in str(notices[0].error)
    assert failures == notices
    assert manager.runs() == []


def test_on_failure_hears_of_a_launch_with_wrong_arguments(simple_manager: oc.JobManager) -> None:
    notices: list[oc.RunRecord] = []
    simple_manager.job("load", on_failure=notices.append)(lambda day: day)
    launch = simple_manager.launch("load", {"month": 1})
    assert launch.wait()
    assert isinstance(launch.error, TypeError)
    (notice,) = notices
    assert notice.in_error
    assert "day" in str(notice.error)


def test_a_busy_job_does_not_count_as_a_failure(
    simple_manager: oc.JobManager, heard: Heard
) -> None:
    notices: list[oc.RunRecord] = []
    job = simple_manager.job("load", on_failure=notices.append)(lambda: None)
    with simple_manager.run("load"), pytest.raises(oc.LockBusy):
        job()
    assert notices == []
    assert ("skipped", "skipped") in heard


def test_log_records_have_the_fields_of_the_run(
    simple_manager: oc.JobManager, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that `logging` has itself are prefixed; warnings name the run, too."""
    caplog.set_level(logging.INFO, "ojobchannels.jobs")

    @simple_manager.job("load", retries=1, backoff=0)
    def load() -> None:
        raise ValueError("no file")

    with pytest.raises(ValueError, match="no file"):
        load()
    fields = [(vars(each).get("run_name"), vars(each).get("status")) for each in caplog.records]
    assert fields == [
        ("load", "running"),
        ("load", "failed"),
        ("load", None),  # the warning that it is tried again
        ("load", "running"),
        ("load", "failed"),
    ]
    runs = [each.run_id for each in simple_manager.runs("load")]
    assert {vars(each)["runId"] for each in caplog.records} == set(runs)
