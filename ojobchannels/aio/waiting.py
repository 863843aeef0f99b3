"""How tasks wait for locks: in the event loop, at no cost of a thread.

The tasks that wait for one lock of a channel queue up in the loop. The first one looks at the lock
for all: at its turn, when the backend reports a release, and after a pause.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, TypeVar

from ojobchannels.channels.acquire import Request
from ojobchannels.channels.steps import Queue, Wait
from ojobchannels.hookspecs import LockWatch
from ojobchannels.steps import Step, Steps, drive_async, one

_T = TypeVar("_T")
_LOOK_SECONDS: Final = (0.005, 0.1)
_SECONDS_PER_LOOK: Final = 0.001
"""Of many waiters at many locks, each looks less often."""


class _Turn:
    """Held by the first of the tasks that wait for a lock; the others wait in their order.

    Leaving takes as long with 10,000 tasks as with ten, unlike that of an `asyncio.Lock`.

    Args:
        holders: The number of tasks that may hold it at a time.
    """

    def __init__(self, holders: int = 1) -> None:
        self.users = 0
        self._free = holders
        self._waiters: OrderedDict[asyncio.Future[None], None] = OrderedDict()

    async def acquire(self) -> None:
        """Wait for the turn."""
        if self._free:
            self._free -= 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():  # it was granted at the same moment
                self.release()
            raise
        finally:
            self._waiters.pop(waiter, None)

    def release(self) -> None:
        """Let the next task have the turn."""
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1


class Waiting:
    """The waiting tasks of one channel.

    Args:
        calls: The calls of the channel: `Calls`, or `NativeCalls`.
        at_once: The number of calls at a time; half of them may look at locks.
        queues: Whether tasks queue up here; not where a queue of the backend costs nothing.

    Attributes:
        looking_tasks: The number of tasks that look at a lock.
    """

    def __init__(self, calls: Any, at_once: int, *, queues: bool) -> None:
        self._calls = calls
        self._queues = queues
        self._turns: dict[str, _Turn] = {}
        self._look = _Turn(max(at_once // 2, 1))
        self.looking_tasks = 0

    def driver(self, request: Request) -> Driver:
        """Return the driver of one acquisition."""
        return Driver(self, self._calls, request)

    async def take_turn(self, name: str, longest: int | None) -> _Turn | None:
        """Wait until the caller is the first that waits for a lock, `longest` milliseconds at most.

        Returns:
            The turn, to be given back; None after that time, or if there is no queue.
        """
        if not self._queues:
            return None
        turn = self._turns.setdefault(name, _Turn())
        turn.users += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(None if longest is None else longest / 1000):
                    await turn.acquire()
                    return turn
        except BaseException:
            self._leave(name, turn)
            raise
        self._leave(name, turn)
        return None

    def give_back(self, name: str, turn: _Turn) -> None:
        """Let the next task look at the lock."""
        turn.release()
        self._leave(name, turn)

    def _leave(self, name: str, turn: _Turn) -> None:
        turn.users -= 1
        if not turn.users:
            del self._turns[name]

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Count one more task that looks at a lock."""
        self.looking_tasks += 1
        try:
            yield
        finally:
            self.looking_tasks -= 1

    @asynccontextmanager
    async def look(self) -> AsyncIterator[None]:
        """Let few tasks look at a time: a call waits for one look at most, and not for all."""
        await self._look.acquire()
        try:
            yield
        finally:
            self._look.release()

    def shortest_pause(self) -> float:
        """Return the least number of seconds between two looks of a task."""
        return self.looking_tasks * _SECONDS_PER_LOOK


class Driver:
    """Performs the steps of one acquisition on the event loop.

    Attributes:
        began: The request that was under way when the task was cancelled.
    """

    def __init__(self, waiting: Waiting, calls: Any, request: Request) -> None:
        self.began: list[Any] = []
        self._waiting = waiting
        self._calls = calls
        self._request = request
        self._turns: dict[str, _Turn] = {}

    async def drive(self, steps: Steps[_T]) -> _T:
        """Perform the steps, and return the result of the generator."""
        return await drive_async(steps, self._perform)

    async def finish(self, work: Callable[[], Any]) -> None:
        """Have `work` done after the request that was under way, also if the task is cancelled."""
        if self.began:
            await self._calls.finish_after(self.began[0], work)
        else:
            await self._calls.finish(work)

    def leave(self) -> None:
        """Leave the queues of the loop; due at the end of every acquisition."""
        while self._turns:
            self._waiting.give_back(*self._turns.popitem())

    async def _perform(self, step: Step) -> Any:
        if isinstance(step, Queue):
            return await self._take_turn(step.name, step.timeout)
        if isinstance(step, Wait):
            return await self._wait(step)
        return await self._calls.call(step, self.began)

    async def _take_turn(self, name: str, longest: int | None) -> None:
        if name not in self._turns and not self._request.caller._keeps_slots(name, 1):
            turn = await self._waiting.take_turn(name, longest)
            if turn is not None:
                self._turns[name] = turn

    async def _wait(self, step: Wait) -> None:
        clock = self._request.channel.clock
        ends = None if step.timeout is None else clock.now() + step.timeout * 1000

        def left() -> float:
            return float("inf") if ends is None else (ends - clock.now()) / 1e6

        await self._take_turn(step.name, step.timeout)
        bell = Bell()
        watch: LockWatch = (
            step.hook.watch(
                name=step.name, seen_fence=step.seen_fence, token=step.token, notify=bell.ring
            )
            or _Poll()
        )
        self._request.cleanups.append(lambda: one(watch.close))
        with self._waiting.looking():
            while (pause := await self._looked(watch)) > 0 and left() > 0:
                with bell.rung_by(watch.descriptor):
                    await bell.wait(min(max(pause, self._waiting.shortest_pause()), left()))
        self._request.cleanups.pop()
        await self._calls.finish(lambda: self._calls.run(one(watch.close)))

    async def _looked(self, watch: LockWatch) -> float:
        async with self._waiting.look():
            pause: float = await self._calls.call(watch.look, self.began)
            return pause


class _Poll:
    """The waiter of a backend without the hook ``watch``: it requests the lock after each pause."""

    descriptor: Final = -1

    def __init__(self) -> None:
        self._pauses = iter(_LOOK_SECONDS)

    def look(self) -> float:
        return next(self._pauses, 0)

    def close(self) -> None:
        pass


class Bell:
    """An event of a loop that any thread may set, and that a wait clears."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake the task that waits, or make its next wait return at once."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._rung = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, seconds: float | None) -> None:
        """Wait until it is rung, for at most `seconds`."""
        if not self._rung:
            self._waiter = self._loop.create_future()
            timer = None
            if seconds is not None and seconds != float("inf"):
                timer = self._loop.call_later(seconds, self._wake)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        self._rung = False

    @contextmanager
    def rung_by(self, descriptor: int) -> Iterator[None]:
        """Ring it also when a file becomes readable, if the loop supports that."""
        if descriptor < 0:
            yield
            return
        try:
            self._loop.add_reader(descriptor, self._wake)
        except NotImplementedError:  # without it the backend is looked at after its pause
            yield
            return
        try:
            yield
        finally:
            self._loop.remove_reader(descriptor)
