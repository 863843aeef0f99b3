"""Launched jobs: a handle at once, work on the manager's threads, order, and the close."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.manager import current_run
from ojobchannels.manager.local_launches.launcher import Launcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from tests.manager.conftest import Managers


class Stop:
    """A job's body that says when it has begun, and stays until it may go."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.may_go = threading.Event()

    def __call__(self, *_: object, **__: object) -> str:
        self.began.release()
        assert self.may_go.wait(30)
        return "went"

    def await_begin(self) -> None:
        assert self.began.acquire(timeout=30)


@pytest.fixture
def stop() -> Iterator[Stop]:
    """A body that is let go at the end of the test."""
    body = Stop()
    yield body
    body.may_go.set()


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    """A launcher of two threads, closed at the end."""
    made = Launcher(2)
    yield made
    made.close()


# ------------------------------------------------------------------------------ through the manager


def test_a_launched_job_runs_under_its_lock_and_returns_a_handle(
    manager: oc.JobManager, stop: Stop
) -> None:
    """`launch` returns at once; the handle has the state, the run and the result."""

    @manager.job("batch")
    def batch(batch_id: str) -> str:
        stop()
        run = current_run()
        assert run is not None
        return f"{batch_id} by {run.run_id}"

    launch = manager.launch("batch", {"batch_id": "b-1"})
    stop.await_begin()
    assert (launch.name, launch.state, launch.done()) == ("batch", "running", False)
    assert not launch.wait(timeout=0)
    with pytest.raises(TimeoutError):
        launch.result(timeout=0)
    [running] = manager.running()
    assert (running["runId"], running["args"]) == (launch.run_id, {"batch_id": "b-1"})
    stop.may_go.set()
    assert launch.result(30) == f"b-1 by {launch.run_id}"
    assert launch.wait(0)
    assert launch.done()
    assert launch.state == "completed"
    assert launch.error is None
    assert repr(launch) == "<Launch 'batch' completed>"
    assert [record["status"] for record in manager.runs("batch")] == ["completed"]


def test_the_handle_of_a_failed_job_has_its_error(manager: oc.JobManager) -> None:
    """state is failed; result raises what the job raised."""

    @manager.job("batch")
    def batch() -> None:
        raise ValueError("no such batch")

    launch = manager.launch("batch")
    assert launch.wait(30)
    assert launch.state == "failed"
    assert isinstance(launch.error, ValueError)
    with pytest.raises(ValueError, match="no such batch"):
        launch.result()
    assert manager.runs("batch")[0]["runId"] == launch.run_id


def test_a_launched_job_that_runs_elsewhere_is_skipped(managers: Managers) -> None:
    """With if_running="skip" this is not an error: the state is `skipped`, the result None."""
    here, elsewhere = managers.open(), managers.open()
    here.job("skips", if_running="skip")(lambda: "ran")
    here.job("fails")(lambda: "ran")
    with elsewhere.run("skips"), elsewhere.run("fails"):
        skipped, failed = here.launch("skips"), here.launch("fails")
        assert skipped.result(30) is None
        assert skipped.state == "skipped"
        assert skipped.error is None
        assert failed.wait(30)
        assert isinstance(failed.error, oc.LockBusy)
        assert failed.state == "failed"
    assert [record["status"] for record in here.runs("skips")] == ["skipped", "completed"]


def test_an_unknown_job_is_an_error_with_the_closest_known_name(
    simple_manager: oc.JobManager,
) -> None:
    """`launch` raises the error, with the closest known name."""
    for name in ("process-batch", "cleanup"):
        simple_manager.job(name)(lambda: None)
    with pytest.raises(oc.UnknownJob, match="did you mean 'process-batch'") as unknown:
        simple_manager.launch("proces-batch")
    assert unknown.value.known == ("cleanup", "process-batch")
    with pytest.raises(oc.UnknownJob) as unknown:
        simple_manager.launch("zzz")
    assert unknown.value.hint is None
    assert simple_manager.runs() == []


def test_arguments_that_do_not_fit_fail_the_launch(simple_manager: oc.JobManager) -> None:
    """The handle has the TypeError; nothing was run."""

    @simple_manager.job("batch", retries=5)
    def batch(batch_id: str) -> str:
        return batch_id

    launch = simple_manager.launch("batch", {"batchId": "b-1"})
    assert launch.wait(30)
    assert isinstance(launch.error, TypeError)
    assert launch.run_id is None
    assert simple_manager.runs() == []


def test_arguments_are_those_at_the_time_of_the_launch(
    simple_managers: Managers, stop: Stop
) -> None:
    """The caller may change its map afterwards."""
    manager = simple_managers.open(threads=1)
    manager.job("first")(stop)
    manager.job("second")(lambda n: n)
    first = manager.launch("first")
    args = {"n": 1}
    second = manager.launch("second", args)
    args["n"] = 2
    stop.may_go.set()
    assert second.result(30) == 1
    assert first.done()


def test_at_most_the_given_number_of_launched_jobs_run_at_a_time(
    simple_managers: Managers, stop: Stop
) -> None:
    """`threads` bounds them; the order is that of launching."""
    manager = simple_managers.open(threads=2)
    for number in range(3):
        manager.job(f"job-{number}")(stop)
    first, second, third = (manager.launch(f"job-{number}") for number in range(3))
    stop.await_begin()
    stop.await_begin()
    assert [launch.state for launch in (first, second, third)] == ["running", "running", "waiting"]
    assert third.run_id is None
    stop.may_go.set()
    assert third.result(30) == "went"


def test_launches_have_unique_ids(simple_manager: oc.JobManager) -> None:
    """Two launches of one job can be distinguished before either has started."""
    simple_manager.job("x", if_running="wait")(lambda: None)
    one, other = simple_manager.launch("x"), simple_manager.launch("x")
    assert one.launch_id != other.launch_id
    assert one.wait(30)
    assert other.wait(30)
    assert one.run_id != other.run_id


def test_the_handle_names_the_latest_attempt(simple_manager: oc.JobManager) -> None:
    """A launched job with retries is one launch of several runs."""
    calls: list[int] = []

    @simple_manager.job("x", retries=1, backoff=0)
    def flaky() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("first")
        return len(calls)

    launch = simple_manager.launch("x")
    assert launch.result(30) == 2
    latest, first = simple_manager.runs("x")
    assert (first["status"], latest["status"]) == ("failed", "completed")
    assert launch.run_id == latest["runId"]


def test_close_waits_for_launched_jobs_and_what_they_launch(
    managers: Managers, stop: Stop, in_background: Callable[..., Future[Any]]
) -> None:
    """Nothing that was launched is cut off, and everything is recorded."""
    manager = managers.open(threads=1)

    @manager.job("child")
    def child() -> str:
        return "born"

    @manager.job("parent")
    def parent() -> oc.Launch:
        stop()
        return manager.launch("child")

    launch = manager.launch("parent")
    stop.await_begin()
    closed = in_background(manager.close)
    assert manager._closing.wait(30)
    assert not closed.done()
    stop.may_go.set()
    closed.result(30)
    assert launch.result(0).result(0) == "born"
    assert [record["status"] for record in manager.runs()] == ["completed", "completed"]


def test_a_closed_manager_launches_nothing(simple_manager: oc.JobManager) -> None:
    """It says so, and nothing is left waiting."""
    simple_manager.job("x")(lambda: None)
    simple_manager.close()
    with pytest.raises(oc.JobError, match="'x'"):
        simple_manager.launch("x")
    simple_manager.close()


def test_an_error_in_the_manager_s_with_still_waits_for_launched_jobs(
    simple_managers: Managers,
) -> None:
    """The error is raised after they are done."""
    manager = simple_managers.open()
    manager.job("x")(lambda: "done")
    launch = manager.launch("x")
    with pytest.raises(ValueError, match="mine"), manager:
        raise ValueError("mine")
    assert launch.result(0) == "done"


# ----------------------------------------------------------------------------------- the launcher


def test_a_job_starts_when_all_its_dependencies_have_completed(launcher: Launcher) -> None:
    """`after` is the order, on as few threads as there are."""
    order: list[str] = []
    stops = [Stop(), Stop()]

    def note(name: str) -> Callable[[object], None]:
        return lambda _: order.append(name)

    one, other = (launcher.submit(f"before-{n}", stops[n]) for n in range(2))
    last = launcher.submit("last", note("last"), after=[one, other])
    free = launcher.submit("free", note("free"))
    for each in stops:
        each.await_begin()
    assert last.state == "waiting"
    stops[0].may_go.set()
    assert free.wait(30)
    assert not last.done()
    stops[1].may_go.set()
    assert last.wait(30)
    assert order == ["free", "last"]


def test_a_job_whose_dependency_has_ended_starts_at_once(launcher: Launcher) -> None:
    """A dependency may have completed long ago."""
    before = launcher.submit("before", lambda _: 1)
    assert before.result(30) == 1
    assert launcher.submit("after", lambda _: 2, after=[before, before]).result(30) == 2


def test_a_failed_dependency_cancels_all_jobs_after_it(
    launcher: Launcher,
) -> None:
    """depsfail is not an error of its own: the result is None."""

    def fails(_: object) -> None:
        raise ValueError("broken")

    failed = launcher.submit("fails", fails)
    good = launcher.submit("good", lambda _: 1)
    cancelled = launcher.submit("dependent", lambda _: pytest.fail("ran"), after=[good, failed])
    further = launcher.submit("further", lambda _: pytest.fail("ran"), after=[cancelled])
    assert further.result(30) is None
    assert (cancelled.state, further.state) == ("depsfail", "depsfail")
    assert cancelled.error is None


def test_a_waiting_job_releases_its_slot_and_continues_at_once(stop: Stop) -> None:
    """When its wait times out, it continues beside the other job; a third one waits for a slot."""
    launcher = Launcher(1)
    began = threading.Event()

    def waits(_: object) -> str:
        child = launcher.submit("child", stop)
        third = launcher.submit("third", lambda _: began.set())
        while not child.wait(0.01):
            if child.state == "running":
                return f"{child.state}, {third.state}"
        return "over"

    parent = launcher.submit("parent", waits)
    assert parent.result(30) == "running, waiting"
    assert not began.is_set()
    stop.may_go.set()
    launcher.close()
    assert began.is_set()


def test_a_cancelled_launch_ends_after_its_callback() -> None:
    """The callback gets the launch that did not complete; waiters return after it."""
    launcher, seen = Launcher(1), []
    failing = launcher.submit("extract", lambda _: 1 / 0)
    after = launcher.submit(
        "load", str, [failing], lambda launch, failed: seen.append((launch.done(), failed.name))
    )
    assert after.wait(30)
    assert (after.state, seen) == ("depsfail", [(False, "extract")])
    launcher.close()


def test_threads_end_when_there_is_nothing_to_do(launcher: Launcher) -> None:
    """A pool that is not closed leaves no threads, and runs later launches."""
    for _ in range(2):
        seen = launcher.submit("x", lambda _: threading.current_thread())
        seen.result(30).join(30)
        assert not seen.result().is_alive()


def test_waiting_for_all_launches_has_a_timeout(launcher: Launcher, stop: Stop) -> None:
    """`wait` returns whether all launches have ended."""
    launches = [launcher.submit("x", stop) for _ in range(4)]
    assert not launcher.wait(timeout=0.02)
    stop.may_go.set()
    assert launcher.wait(timeout=30)
    assert all(launch.done() for launch in launches)
    assert launcher.wait(timeout=0)


def test_a_closed_launcher_rejects_jobs(launcher: Launcher) -> None:
    """The error of a late launch contains the name of the job."""
    launcher.close()
    with pytest.raises(oc.JobError, match="'late'"):
        launcher.submit("late", lambda _: None)
    assert launcher.wait(timeout=0)


def test_a_launch_can_be_waited_for_without_a_real_limit() -> None:
    """For longer than a thread can wait in one call."""
    with oc.JobManager() as manager:
        manager.job("work")(lambda: 5)
        launch = manager.launch("work")
        assert launch.result(1e300) == 5
        assert launch.wait(1e15)
        manager.jobs.destroy()
