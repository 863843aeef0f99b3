"""AsyncJobManager: runs, managed jobs and launches, for asyncio."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, ParamSpec, Self, TypeVar, Unpack, overload

from ojobchannels.aio.calls import Calls
from ojobchannels.aio.channel import AsyncChannel
from ojobchannels.aio.jobs.cancelling import cancel_all, when_cancelled
from ojobchannels.aio.jobs.durable_launch import AsyncDurableLaunch
from ojobchannels.aio.jobs.in_loop import in_loop
from ojobchannels.aio.jobs.job import AsyncJob, check_coroutine_function
from ojobchannels.aio.jobs.launch import AsyncLaunch
from ojobchannels.aio.jobs.options import JobOptions, check_options
from ojobchannels.aio.jobs.run import AsyncJobRun
from ojobchannels.aio.jobs.serving import Serving
from ojobchannels.aio.opening import asynchronous
from ojobchannels.channels.arguments import Duration
from ojobchannels.documents import check_name
from ojobchannels.errors import InvalidOption, JobMisuse, UnknownJob
from ojobchannels.manager import JobManager
from ojobchannels.manager.durable_launches.handle import DurableLaunch
from ojobchannels.manager.durable_launches.info import LaunchInfo
from ojobchannels.manager.history import Pruned
from ojobchannels.manager.jobs import IfRunning, Job
from ojobchannels.manager.local_launches.launcher import Launch
from ojobchannels.manager.output import RunOutput
from ojobchannels.manager.output.current import current_run, make_current
from ojobchannels.manager.run_record import RunRecord
from ojobchannels.manager.runs.run import JobRun
from ojobchannels.manager.runs.run_options import OnTimeout, checked_args
from ojobchannels.suggestions import closest

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_THREADS: Final = 8


class _Opened(NamedTuple):
    """What there is while a manager is open."""

    manager: JobManager
    locks: AsyncChannel
    loop: asyncio.AbstractEventLoop
    limit: asyncio.Semaphore


class AsyncJobManager:
    """Runs each job at most once at a time, and keeps a record of every run, in an event loop.

    ``async with`` opens its channels, and closes them when its launches have ended. Jobs may be
    registered before. The arguments are those of `JobManager`.

    Args:
        tasks: The maximum number of launched jobs, and of scheduled ones, that run at a time.
        options: ``jobs``, ``locks``, ``state``, ``on_failure``, ``output`` and ``alerts``, as in
            `JobManager`.

    Example:
        >>> import asyncio, ojobchannels as oc
        >>> manager = oc.AsyncJobManager()
        >>> @manager.job("cleanup", timeout=600, if_running="skip")
        ... async def cleanup(days: int) -> str:
        ...     return f"removed what was older than {days} days"
        >>> async def main() -> str | None:
        ...     async with manager:
        ...         return await cleanup(7)
        >>> asyncio.run(main())
        'removed what was older than 7 days'
    """

    def __init__(self, *, tasks: int = 4, **options: Any) -> None:
        self._options = options
        self._tasks = tasks
        self._calls = Calls("jobs", _THREADS, "the job manager")
        self._opened: _Opened | None = None
        self._jobs: dict[str, AsyncJob[..., Any]] = {}
        self._register: list[Callable[[JobManager], None]] = []
        self._launches: set[asyncio.Task[None]] = set()
        self._serving: Serving | None = None

    @property
    def sync(self) -> JobManager:
        """The manager itself, for code on other threads, and for `call`.

        Raises:
            JobMisuse: It is not open.
        """
        return self._open.manager

    @property
    def _open(self) -> _Opened:
        if self._opened is None:
            raise JobMisuse("", "the manager is not open", "use it in `async with manager`")
        return self._opened

    async def open(self) -> Self:
        """Open the channels; ``async with`` does it. A closed manager may be opened again.

        Raises:
            JobMisuse: It is open.
        """
        if self._opened is not None:
            raise JobMisuse("", "the manager is open already", "open it once, and share it")
        self._calls = Calls("jobs", _THREADS, "the job manager")
        manager, locks = await self._calls.obtain(
            self._open_on_thread, lambda opened: opened[0].close()
        )
        limit = asyncio.Semaphore(self._tasks)
        self._opened = _Opened(manager, locks, asyncio.get_running_loop(), limit)
        try:
            for register in self._register:
                register(manager)
        except BaseException:
            await self._close_channels()
            raise
        return self

    def _open_on_thread(self) -> tuple[JobManager, AsyncChannel]:
        manager = JobManager(threads=self._tasks, **self._options)
        return manager, asynchronous(manager.locks)

    async def close(self) -> None:
        """Wait for launched jobs, then close the channels and so release all locks.

        If the caller is cancelled, so are the launched jobs. So they are if the body of ``async
        with`` is cancelled, as by Ctrl-C.
        """
        self._calls.owner.check(ending=True)
        try:
            await asyncio.sleep(0)  # a task that was only just created for `serve` begins
            if self._serving is not None:
                await self._serving.stop()
            while self._launches:
                await asyncio.wait(self._launches)
        except asyncio.CancelledError:
            await cancel_all(self._launches)
            raise
        finally:
            await self._close_channels()

    async def call(
        self,
        operation: Callable[_Arguments, _Result],
        *args: _Arguments.args,
        **kwargs: _Arguments.kwargs,
    ) -> _Result:
        """Call any operation of the manager on a thread: ``call(manager.sync.pause, "tick")``."""
        return await self._calls.call(lambda: operation(*args, **kwargs))

    def run(self, name: str, **options: Any) -> AsyncJobRun:
        """Return a run of a job; ``async with`` starts and ends it, and records an exception.

        The options and errors are those of `JobManager.run`. A run that waits for its lock needs no
        thread.
        """
        return self._made(self.sync.run(name, **options))

    def job(
        self,
        name: str,
        *,
        timeout: Duration = 3600,
        if_running: IfRunning = "fail",
        on_timeout: OnTimeout = "warn",
        **options: Unpack[JobOptions],
    ) -> Callable[[Callable[_Arguments, Awaitable[_Result]]], AsyncJob[_Arguments, _Result]]:
        """Make a coroutine function a managed job, which `launch` finds by its name.

        The options and errors are those of `JobManager.job`. An awaited call runs in the task of
        the caller; schedules, alerts, notices and requests of operators run it in the loop, too.
        """

        def decorate(
            function: Callable[_Arguments, Awaitable[_Result]],
        ) -> AsyncJob[_Arguments, _Result]:
            check_coroutine_function(name, function)
            check_options(function, options)
            job = AsyncJob(name, function, self._made, self._finish)

            @functools.wraps(function)
            def on_loop(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
                return self._run_in_loop(name, lambda: function(*args, **kwargs))

            def register(manager: JobManager) -> None:
                made: Job[_Arguments, _Result] = manager.job(
                    name, timeout=timeout, if_running=if_running, on_timeout=on_timeout, **options
                )(on_loop)
                job.on_loop = made

            if self._opened is not None:
                register(self._opened.manager)
            self._jobs[name] = job
            self._register.append(register)
            return job

        return decorate

    @overload
    def launch(self, name: str, args: Mapping[str, Any] | None = None) -> AsyncLaunch: ...

    @overload
    def launch(
        self,
        name: str,
        args: Mapping[str, Any] | None = None,
        *,
        durable: Literal[True],
        delay: Duration = 0,
        priority: float = 1,
        retries: int | None = None,
        idempotency_key: str | None = None,
    ) -> Coroutine[Any, Any, AsyncDurableLaunch]: ...

    def launch(
        self,
        name: str,
        args: Mapping[str, Any] | None = None,
        *,
        durable: bool = False,
        **options: Any,
    ) -> AsyncLaunch | Coroutine[Any, Any, AsyncDurableLaunch]:
        """Run a managed job in a task of its own, and return its handle at once.

        With ``durable=True`` the launch is stored, as by `JobManager.launch`, whose options and
        errors these are: ``launch = await manager.launch("report", durable=True)``. It is taken by
        any manager that knows the job and takes launches (`start_worker`).

        Raises:
            UnknownJob: There is no job of that name, and the launch is not durable.
            InvalidOption: The arguments are not a map, or an option needs ``durable=True``.
            JobMisuse: The manager is not open.
        """
        if durable:
            return self._launch_durably(name, args, options)
        if options:
            reason = f"{', '.join(options)}: these options are for durable launches"
            raise InvalidOption("launch", reason, "pass durable=True")
        job, values = self._jobs.get(check_name("job", name)), checked_args(args)
        if job is None:
            raise UnknownJob(name, tuple(sorted(self._jobs)), closest(name, self._jobs))
        launch = Launch(name)
        task = asyncio.create_task(job.run_launch(launch, values, self._open.limit))
        self._launches.add(task)

        def end(_: object) -> None:
            self._launches.discard(task)
            launch._finish("failed", error=asyncio.CancelledError())  # before it began

        task.add_done_callback(end)
        return AsyncLaunch(launch, task)

    async def launch_result(self, launch_id: str, *, wait: bool = False) -> Any:
        """Return the result of a durable launch; see `JobManager.launch_result`.

        Args:
            launch_id: The identifier, from the handle of the launch in this or another process.
            wait: Whether to wait for its end; `asyncio.timeout` limits that.

        Raises:
            TimeoutError: It has not ended, and this does not wait.
        """
        if not wait:
            return await self._calls.call(lambda: self.sync.launch_result(launch_id))
        info = await self._calls.call(lambda: self.sync._store.find(launch_id))
        launch = DurableLaunch[Any](self.sync._store, info.name, launch_id)
        return await AsyncDurableLaunch(launch, self._calls).result()

    async def launches(self, limit: int | None = 100) -> list[LaunchInfo]:
        """Return the durable launches; see `JobManager.launches`."""
        return await self._calls.call(lambda: self.sync.launches(limit))

    async def cancel_launch(self, launch_id: str) -> bool:
        """End a durable launch that waits; return False if it is running or has ended."""
        return await self._calls.call(lambda: self.sync.cancel_launch(launch_id))

    async def start_worker(self) -> None:
        """Take durable launches of the jobs of this manager until it is closed.

        Their functions run in the loop, at most `tasks` at a time. A thread keeps each launch.
        """
        await self._calls.call(self.sync.start_worker)

    async def stop_worker(self) -> None:
        """Take no more durable launches; those that are running continue."""
        await self._calls.finish(self.sync.stop_worker)

    async def serve(self) -> None:
        """Run schedules and take durable launches, in the loop, until SIGTERM or `close`.

        It returns when the active runs have ended, and so it does when its task is cancelled.
        SIGTERM is handled on the main thread, unless the program, such as a web server, does.

        Raises:
            JobMisuse: It is not open, or serves already.
        """
        if self._serving is not None:
            raise JobMisuse("", "it serves already", "call `serve` once")
        self._serving = Serving(self.sync, self._calls)
        try:
            await self._serving.run()
        finally:
            self._serving = None

    async def runs(
        self,
        name: str | None = None,
        status: str | None = None,
        since: datetime | float | None = None,
        limit: int | None = 100,
    ) -> list[RunRecord]:
        """Return run records, latest first; see `JobManager.runs`."""
        return await self._calls.call(lambda: self.sync.runs(name, status, since, limit))

    async def running(self) -> list[RunRecord]:
        """Return the records of the running runs, latest first."""
        return await self._calls.call(self.sync.running)

    async def record(self, run_id: str) -> RunRecord | None:
        """Return the record of a run; None if there is none."""
        return await self._calls.call(lambda: self.sync.record(run_id))

    async def output(self, run_id: str) -> RunOutput | None:
        """Return what a run has logged and printed; None if nothing is kept of it."""
        return await self._calls.call(lambda: self.sync.output(run_id))

    async def report(self) -> list[dict[str, Any]]:
        """Return statistics for each job; see `JobManager.report`."""
        return await self._calls.call(self.sync.report)

    async def prune(self, older_than: float | timedelta) -> Pruned:
        """Remove the records of runs that ended more than `older_than` seconds ago."""
        return await self._calls.call(lambda: self.sync.prune(older_than))

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            await cancel_all(self._launches)
        await self.close()

    def __repr__(self) -> str:
        return "<AsyncJobManager not open>" if self._opened is None else f"<Async{self.sync!r}>"

    async def _launch_durably(
        self, name: str, args: Mapping[str, Any] | None, options: Mapping[str, Any]
    ) -> AsyncDurableLaunch:
        """Store a launch, also if the caller is cancelled meanwhile."""
        launch = await self._calls.finish(
            lambda: self.sync.launch(name, args, durable=True, **options)
        )
        return AsyncDurableLaunch(launch, self._calls)

    async def _finish(self, work: Callable[[], _Result]) -> _Result:
        return await self._calls.finish(work)

    def _made(self, run: JobRun) -> AsyncJobRun:
        return AsyncJobRun(run, self._calls, self._open.locks)

    def _run_in_loop(self, name: str, begin: Callable[[], Awaitable[_Result]]) -> _Result:
        """Run a function in the loop for a caller on a thread, in the context of that."""
        run = current_run()

        async def body() -> _Result:
            task = asyncio.current_task()
            if run is not None and task is not None:
                make_current(run)
                when_cancelled(run, task.cancel)
            return await begin()

        try:
            return in_loop(self._open.loop, name, body())
        except asyncio.CancelledError as cancelled:
            if run is not None:
                run._raise_cancelled(cancelled)
            raise

    async def _close_channels(self) -> None:
        opened = self._opened
        try:
            if opened is not None:
                try:
                    await self._calls.finish(opened.manager.close)
                finally:
                    self._opened = None
                    await opened.locks.close()
        finally:
            self._calls.close()
