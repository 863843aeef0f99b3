"""Functions that return before their work is done are refused wherever a lock would end first."""

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.errors import InvalidOption, JobMisuse


async def coroutine(*_: object) -> int:
    """A coroutine function."""
    return 1


def generator(*_: object) -> Iterator[int]:
    """A generator."""
    yield 1


async def asynchronous_generator(*_: object) -> AsyncIterator[int]:
    """An asynchronous generator."""
    yield 1


class Callee:
    """An object whose call is a coroutine."""

    async def __call__(self, *_: object) -> int:
        return 1


DEFERRED = [
    (coroutine, "'coroutine' is a coroutine function"),
    (generator, "'generator' is a generator"),
    (asynchronous_generator, "'asynchronous_generator' is an asynchronous generator"),
    (functools.partial(coroutine, 1), "'coroutine' is a coroutine function"),
    (Callee(), "'Callee' is a coroutine function"),
    (Callee().__call__, "'Callee.__call__' is a coroutine function"),
]
USES: dict[str, Callable[[oc.JobManager, oc.Channel, Any], object]] = {
    "job": lambda manager, _, function: manager.job("x")(function),
    "on_failure": lambda manager, _, function: manager.job("x", on_failure=function)(int),
    "on_failure of all": lambda _, __, function: oc.JobManager(on_failure=function),
    "callback": lambda _, channel, function: channel.subscribe(function),
    "on_lost": lambda _, channel, function: channel.lock("x", ttl=1, on_lost=function),
}


@pytest.mark.parametrize(("function", "message"), DEFERRED)
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_function_that_a_call_does_not_run_is_refused(
    use: Callable[[oc.JobManager, oc.Channel, Any], object], function: Any, message: str
) -> None:
    """Before anything is locked; the message names it and what to do."""
    with oc.JobManager() as manager, oc.open_channel("synchronous") as channel:
        with pytest.raises(InvalidOption) as raised:
            use(manager, channel, function)
        assert message in str(raised.value)
        assert channel.locks() == []


@pytest.mark.parametrize("function", [coroutine, generator, asynchronous_generator])
def test_work_that_a_job_returns_undone_fails_its_run(function: Any) -> None:
    """It would be done without the lock; the record says so."""
    with oc.JobManager() as manager:

        @manager.job("hidden")
        def hidden() -> Any:
            return function()

        with pytest.raises(JobMisuse, match="whose work would be done after the job ended"):
            hidden()
        assert [run["status"] for run in manager.runs("hidden")] == ["failed"]
        manager.jobs.destroy()
