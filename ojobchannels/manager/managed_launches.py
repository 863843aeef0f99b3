"""Launches of a manager's jobs: in the memory of this process, or durable in the channel."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, overload

from ojobchannels.channels.arguments import Duration, check_limit, is_number, milliseconds
from ojobchannels.documents import check_name
from ojobchannels.errors import InvalidOption, ManagerClosed
from ojobchannels.manager.channels import ManagerChannels
from ojobchannels.manager.durable_launches.handle import DurableLaunch
from ojobchannels.manager.durable_launches.info import LaunchInfo, check_args
from ojobchannels.manager.durable_launches.store import LaunchStore
from ojobchannels.manager.durable_launches.worker import LaunchWorker
from ojobchannels.manager.local_launches.launcher import Launch, Launcher
from ojobchannels.manager.managed_runs import ManagedRuns
from ojobchannels.manager.registry import JobRegistry
from ojobchannels.manager.runs.run_options import check_retries, checked_args

_log = logging.getLogger("ojobchannels.jobs")


class ManagedLaunches(ManagedRuns):
    """Launches jobs, and takes durable launches of the jobs that it knows."""

    def __init__(
        self,
        channels: ManagerChannels,
        registry: JobRegistry,
        plugins: Sequence[object],
        threads: int,
    ) -> None:
        super().__init__(channels, registry, plugins)
        self._launcher = Launcher(threads)
        self._threads = threads
        self._store = LaunchStore(channels)
        self._worker: LaunchWorker | None = None

    @overload
    def launch(self, name: str, args: Mapping[str, Any] | None = None) -> Launch: ...

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
    ) -> DurableLaunch[Any]: ...

    def launch(
        self,
        name: str,
        args: Mapping[str, Any] | None = None,
        *,
        durable: bool = False,
        delay: Duration = 0,
        priority: float = 1,
        retries: int | None = None,
        idempotency_key: str | None = None,
    ) -> Launch | DurableLaunch[Any]:
        """Have a managed job run in the background, and return the handle of the launch at once.

        It runs on the threads of this manager, and ends with this process. With ``durable=True`` it
        is stored before this returns, and taken by one of the managers that know the job and take
        launches (`start_worker`, `serve`), in any process. All other options are for durable ones.

        A durable launch is one run at a time. If its process dies before the run began, another
        one takes it. If it dies during the run, that run is abandoned, and the launch is tried
        again if `retries` are left; otherwise it ends as abandoned. If the job is running
        elsewhere, the launch waits, unless the job has ``if_running="skip"``.

        Args:
            name: The name of the job. A durable launch needs no manager that knows it yet.
            args: The keyword arguments. Those of a durable launch are JSON, and stored as they are
                until it has ended.
            durable: Whether it is stored.
            delay: Seconds before it is taken.
            priority: Launches with a lower priority are taken first, the oldest of equal ones.
            retries: The number of further attempts after a failure or the death of the process, in
                place of those of the job; the pauses are those of the job.
            idempotency_key: A launch of this job with the same key, as long as it is kept, is the
                same launch: nothing is added, and its handle is returned.

        Raises:
            UnknownJob: This manager has no job of that name, and the launch is not durable.
            InvalidOption: An option is not valid, or needs ``durable=True``.
            InvalidValue: The arguments of a durable launch are not JSON, or larger than 4 MiB.
            ManagerClosed: The manager is closed.
        """
        values = checked_args(args)
        if durable:
            return self._launch_durably(name, values, delay, priority, retries, idempotency_key)
        if (delay, priority, retries, idempotency_key) != (0, 1, None, None):
            reason = "delay, priority, retries and idempotency_key are for durable launches"
            raise InvalidOption("launch", reason, "pass durable=True")
        job = self._registry.get(name)
        return self._submit_launch(name, lambda launch: job._launched(launch, (), values))

    def _submit_launch(self, name: str, work: Callable[[Launch], Any]) -> Launch:
        """Call `work` on a thread of the manager, and return the handle of that launch."""
        self._check_open(f"launch job {name!r}")
        return self._launcher.submit(name, work)

    def _launch_durably(
        self,
        name: str,
        args: dict[str, Any],
        delay: Duration,
        priority: float,
        retries: int | None,
        key: str | None,
    ) -> DurableLaunch[Any]:
        self._check_open(f"launch job {name!r}")
        check_name("job", name)
        check_args(args)
        if retries is not None:
            check_retries(retries)
        if not is_number(priority):
            raise InvalidOption("priority", f"{priority!r} is not a number", "pass 0, 1 or 2.5")
        if key is not None:
            check_name("idempotency key", key)
        seconds = milliseconds("delay", delay, shortest=0) / 1000
        launch_id = self._store.add(
            name, args, delay=seconds, priority=priority, retries=retries, key=key
        )
        if self._worker is not None:
            self._worker.wake()
        return DurableLaunch(self._store, name, launch_id)

    def launch_result(self, launch_id: str, timeout: float | None = 0) -> Any:
        """Return the result of a durable launch; None if it was skipped.

        Args:
            launch_id: The identifier, from the handle of the launch in this or another process.
            timeout: Seconds to wait for its end; None for no limit.

        Raises:
            TimeoutError: It has not ended.
            LaunchFailed: It did not complete.
            ResultNotKept: The result is too large, or not JSON.
            UnknownLaunch: No launch with this identifier is stored.
            InvalidOption: The timeout is negative, or not a number.
        """
        name = self._store.find(launch_id).name
        return DurableLaunch[Any](self._store, name, launch_id).result(timeout)

    def launches(self, limit: int | None = 100) -> list[LaunchInfo]:
        """Return the durable launches: those that wait or run by age, then those that have ended.

        The latter are the latest first; the last 10,000 are kept, until `prune` removes them.

        Args:
            limit: Return at most this number of launches; None for all.
        """
        check_limit(limit)
        return self._store.listed(limit)

    def cancel_launch(self, launch_id: str) -> bool:
        """End a durable launch that waits; return False if it is running or has ended.

        `cancel` ends the run of one that is running.
        """
        return self._store.cancel(launch_id)

    def start_worker(self) -> None:
        """Take durable launches of the jobs of this manager from now on, until it is closed.

        At most as many run at a time as the manager has threads. A process that forks starts the
        worker in its children.

        Raises:
            NoThread: The system refuses the thread.
            ManagerClosed: The manager is closed.
        """
        self._check_open("take launches")
        if self._worker is None or not self._worker.is_alive:
            worker = LaunchWorker(
                self._store, self._registry, self, self._capacity, self._run_on_thread
            )
            worker.start()
            self._worker = worker

    def stop_worker(self) -> None:
        """Take no more durable launches; those that are running continue."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def _check_open(self, work: str) -> None:
        """Raise ManagerClosed if this is closed; channels that were passed open may still be."""
        if self._launcher.closed or self.jobs.closed:
            raise ManagerClosed(self.jobs.name, work)

    def _capacity(self) -> int:
        """Return how many launches may be in progress, with those that wait for others."""
        return self._threads + self._launcher.waiting

    def _run_on_thread(self, name: str, call: Any) -> None:
        self._submit_launch(name, lambda _: call())

    def _launch_alert(self, name: str, notice: Mapping[str, Any]) -> Launch:
        """Run the job of an alert."""
        return self.launch(name, {"notice": notice})

    def _launch_known(self, name: str, args: Mapping[str, Any]) -> bool:
        """Launch a job if this manager has it, and return whether it does."""
        job = self._registry.find(name)
        if job is not None:
            self.launch(name, job._keywords(args))
        return job is not None

    def _prune_launches(self, cutoff: int) -> int:
        """Remove the launches that ended before a time (milliseconds since 1970); count them."""
        return self._store.prune(cutoff)
