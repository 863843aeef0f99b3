"""The job manager in an event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

import ojobchannels as oc


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """The channels of a manager, in memory."""
    return dict.fromkeys(("jobs", "locks"), f"simple:?space={tmp_path}")


def test_a_run_is_recorded(options: dict[str, Any]) -> None:
    """With its fields, its output, and the run in the context of the task."""

    async def test() -> None:
        async with oc.AsyncJobManager(**options) as manager:
            async with manager.run("report", args={"day": 1}) as run:
                logging.getLogger("work").warning("working")
                await run.update(progress=0.5)
                run.check()
                assert [record["name"] for record in await manager.running()] == ["report"]
            (record,) = await manager.runs("report")
            assert (record["status"], record["progress"]) == ("completed", 0.5)
            output = await manager.output(run.run_id)
            assert output is not None
            assert "working" in [line.text for line in output.first]

    asyncio.run(test())


def test_a_job_is_awaited(options: dict[str, Any]) -> None:
    """A call returns its result, and raises its error, after its retries."""
    manager = oc.AsyncJobManager(**options)
    attempts: list[int] = []

    @manager.job("add")
    async def add(a: int, b: int) -> int:
        return a + b

    @manager.job("fail", retries=1, backoff=0)
    async def fail() -> None:
        attempts.append(1)
        raise ValueError("no data")

    async def test() -> None:
        with pytest.raises(oc.JobError):
            await add(1, 2)
        async with manager:
            assert await add(1, b=2) == 3
            with pytest.raises(ValueError, match="no data"):
                await fail()
            statuses = {(run["name"], run["status"]) for run in await manager.runs()}
            assert statuses == {("add", "completed"), ("fail", "failed")}

    asyncio.run(test())
    assert len(attempts) == 2


def test_a_manager_is_opened_again(options: dict[str, Any]) -> None:
    """In another event loop, as each test of an application does; its jobs are known there."""
    manager = oc.AsyncJobManager(tasks=1, **options)

    @manager.job("double", if_running="wait")
    async def double(number: int) -> int:
        return 2 * number

    async def test() -> list[int]:
        async with manager:
            launches = [manager.launch("double", {"number": number}) for number in range(3)]
            return [await launch for launch in launches]

    assert asyncio.run(test()) == [0, 2, 4]
    assert asyncio.run(test()) == [0, 2, 4]


def test_a_job_runs_once_at_a_time(options: dict[str, Any]) -> None:
    """A second call is skipped, or waits, as `if_running` says; no thread waits."""
    manager = oc.AsyncJobManager(**options)
    inside, most, threads = 0, 0, 0

    @manager.job("skip", if_running="skip")
    async def skip(entered: asyncio.Event, proceed: asyncio.Event) -> str:
        entered.set()
        await proceed.wait()
        return "done"

    @manager.job("wait", if_running="wait")
    async def wait() -> None:
        nonlocal inside, most, threads
        inside += 1
        most = max(most, inside)
        threads = max(threads, threading.active_count())
        await asyncio.sleep(0)
        inside -= 1

    async def test() -> None:
        before = threading.active_count()
        async with manager:
            entered, proceed = asyncio.Event(), asyncio.Event()
            first = asyncio.create_task(skip(entered, proceed))
            await entered.wait()
            assert await skip(entered, proceed) is None
            proceed.set()
            assert await first == "done"
            await asyncio.gather(*(wait() for _ in range(30)))
        assert most == 1
        assert threads < before + 15

    asyncio.run(test())


def test_a_launch_is_awaited(options: dict[str, Any]) -> None:
    """It runs in a task of its own; its error is raised where it is awaited."""
    manager = oc.AsyncJobManager(tasks=1, **options)

    @manager.job("double")
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    async def test() -> None:
        async with manager:
            launches = [manager.launch("double", {"number": number}) for number in range(3)]
            assert [await launch for launch in launches] == [0, 2, 4]
            async with manager.run("double"):
                with pytest.raises(oc.LockBusy):
                    await manager.launch("double", {"number": 1})
            assert launches[0].state == "completed"
            assert launches[0].run_id is not None
            with pytest.raises(oc.UnknownJob):
                manager.launch("dubble")

    asyncio.run(test())


def test_a_cancelled_run_releases_its_lock(options: dict[str, Any]) -> None:
    """Its record says that it failed; a cancelled start leaves neither record nor lock."""

    async def test() -> None:
        async with oc.AsyncJobManager(**options) as manager:
            entered = asyncio.Event()

            async def work() -> None:
                async with manager.run("report"):
                    entered.set()
                    await asyncio.Event().wait()

            async def wait() -> None:
                async with manager.run("report", wait=None):
                    raise AssertionError

            working = asyncio.create_task(work())
            await entered.wait()
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            working.cancel()
            with pytest.raises(asyncio.CancelledError):
                await working
            assert manager.sync.locks.locks() == []
            assert [run["status"] for run in await manager.runs()] == ["failed"]

    asyncio.run(test())


def test_requests_of_operators_run_in_the_loop(options: dict[str, Any]) -> None:
    """A launch by the manager on a thread runs the coroutine function in the loop."""
    manager = oc.AsyncJobManager(**options)

    @manager.job("where")
    async def where() -> int:
        return threading.get_ident()

    async def test() -> int:
        async with manager:
            launch = manager.sync.launch("where")
            return int(await manager.call(launch.result))

    assert asyncio.run(test()) == threading.get_ident()


def test_a_function_that_cannot_be_awaited_is_refused(options: dict[str, Any]) -> None:
    """With advice."""
    manager = oc.AsyncJobManager(**options)
    with pytest.raises(oc.InvalidOption, match="coroutine"):
        manager.job("plain")(lambda: None)  # type: ignore[arg-type, return-value]  # that is the test


async def nothing() -> None:
    """A job without arguments."""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"retries": "x"}, "retries: 'x'"),
        ({"on_failure": 5}, "on_failure: 5 cannot be called"),
    ],
)
def test_wrong_options_of_a_job_are_refused_at_its_declaration(
    wrong: dict[str, Any], message: str
) -> None:
    """Before the manager is opened, which could not be opened with them."""
    with pytest.raises(oc.InvalidOption, match=message):
        oc.AsyncJobManager().job("report", **wrong)(nothing)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("known", {"args": [1]}, r"args: \[1\] is not a map"),
        ("known", {"priority": 5}, "invalid launch: priority: .*durable=True"),
        (5, {}, "job name 5"),
    ],
)
def test_wrong_arguments_of_a_launch_are_refused_at_once(
    name: Any, wrong: dict[str, Any], message: str
) -> None:
    """The error names the argument; nothing is launched."""

    async def test() -> None:
        async with oc.AsyncJobManager() as manager:
            manager.job("known")(nothing)
            with pytest.raises((oc.InvalidOption, oc.InvalidName), match=message):
                manager.launch(name, **wrong)
            assert await manager.runs() == []

    asyncio.run(test())


def test_a_closed_manager_launches_nothing() -> None:
    """It says so at the call, as one does that is not open yet."""

    async def test() -> None:
        manager = oc.AsyncJobManager()
        manager.job("known")(nothing)
        for _ in range(2):
            with pytest.raises(oc.JobError, match="the manager is not open"):
                manager.launch("known")
            async with manager:
                pass

    asyncio.run(test())


def test_a_manager_that_cannot_be_opened_is_not_open() -> None:
    """Its channels are closed again, and each further attempt has the same error."""
    manager = oc.AsyncJobManager()
    manager.job("report", max_concurrent=0)(nothing)
    for _ in range(2):
        with pytest.raises(oc.InvalidOption, match="max_concurrent"):
            asyncio.run(manager.open())
    assert repr(manager) == "<AsyncJobManager not open>"
