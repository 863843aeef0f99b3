"""What cancelled tasks leave behind, for a backend that works in the event loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import ClassVar, Final, Protocol

import pytest

from ojobchannels.aio.native.channel import NativeChannel
from ojobchannels.aio.opening import asynchronous
from ojobchannels.channels.channel import Channel
from ojobchannels.errors import ChannelError
from ojobchannels.testing.contracts.remote.base import PATIENT, NetworkContract
from ojobchannels.testing.kit.subject import Subject
from ojobchannels.testing.proxy import Proxy

_STORM: Final = 500
_TASKS: Final = 60


class _Run(Protocol):
    """Runs a coroutine function with a channel through the proxy, in an event loop."""

    def __call__(
        self, test: Callable[[NativeChannel], Awaitable[None]], timeout: float = PATIENT
    ) -> None: ...


async def until(condition: Callable[[], object]) -> None:
    """Wait until the server is in a state."""
    while not condition():  # noqa: ASYNC110  it reports no event
        await asyncio.sleep(0.01)


def _opened(storage: Subject, timeout: float) -> Channel:
    """Open a handle; a busy machine may not do that in time at once."""
    while True:
        with suppress(ChannelError):
            return storage.open(timeout=timeout)


class CancelledTaskContract(NetworkContract):
    """Tasks that are cancelled at any moment leave no lease, and no reply for another request.

    Attributes:
        deciding: The number of the request that changes something, where an operation reads first.
    """

    deciding: ClassVar[Mapping[str, int]] = {}

    @pytest.fixture
    def in_loop(self, behind: Subject) -> _Run:
        """Runs a coroutine function with a channel through the proxy, in an event loop."""

        def run(test: Callable[[NativeChannel], Awaitable[None]], timeout: float = PATIENT) -> None:
            async def call() -> None:
                channel = asynchronous(_opened(behind, timeout))
                assert isinstance(channel, NativeChannel)
                async with asyncio.timeout(3 * PATIENT), channel:
                    await test(channel)

            asyncio.run(call())

        return run

    @pytest.fixture
    def observer(self, subject: Subject) -> Channel:
        """The channel, with two entries, past the proxy."""
        channel = subject.open()
        channel.set("early", 1)
        channel.set("late", 2)
        return channel

    def test_a_cancelled_request_gives_back_what_it_was_granted(
        self, in_loop: _Run, observer: Channel, proxy: Proxy
    ) -> None:
        """The server had granted the lock when the task was cancelled; its reply comes later."""

        async def test(channel: NativeChannel) -> None:
            async with channel.lock("nightly", ttl=600):  # what is sent once only was sent
                pass
            proxy.hold_reply(self.deciding.get("lock", 1), b"nightly")
            waiting = asyncio.create_task(channel.lock("nightly", ttl=600, wait=None))
            await until(lambda: observer.lock_info("nightly"))
            waiting.cancel()
            await asyncio.sleep(0)
            proxy.heal()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await until(lambda: observer.lock_info("nightly") is None)
            assert await channel.get("late") == 2

        in_loop(test)

    def test_a_reply_that_came_too_late_goes_to_no_other_request(
        self, in_loop: _Run, observer: Channel, proxy: Proxy
    ) -> None:
        """The connection on which it was awaited is closed."""

        async def test(channel: NativeChannel) -> None:
            proxy.black_hole(requests=False)
            with pytest.raises(ChannelError):
                await channel.get("early")
            proxy.heal()
            late = None
            while late is None:  # a busy machine may not reply in time either
                with suppress(ChannelError):
                    late = await channel.get("late")
            assert late == observer.get("late")

        in_loop(test, timeout=0.2)

    def test_the_reply_to_a_cancelled_read_goes_to_no_other_request(
        self, in_loop: _Run, observer: Channel, proxy: Proxy
    ) -> None:
        """The read is cut short in the middle, and its connection is closed."""

        async def test(channel: NativeChannel) -> None:
            assert await channel.get("late") == observer.get("late")
            before = proxy.counters.requests
            proxy.black_hole(requests=False)
            reading = asyncio.create_task(channel.get("early"))
            await until(lambda: proxy.counters.requests > before)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            proxy.heal()
            assert await channel.get("late") == 2

        in_loop(test)

    def test_a_storm_of_cancelled_waits_leaves_nothing(self, in_loop: _Run) -> None:
        """No lease, no place in a queue, and no waiter in this process."""

        async def test(channel: NativeChannel) -> None:
            held = await channel.lock("nightly", ttl=600)
            waits = [
                asyncio.create_task(channel.lock("nightly", ttl=600, wait=None))
                for _ in range(_STORM)
            ]
            await until(lambda: channel._waiting.looking_tasks)
            for wait in waits:
                wait.cancel()
            ended = await asyncio.gather(*waits, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ended)
            await held.release()
            assert await channel.locks() == []
            async with channel.lock("nightly", ttl=600):
                pass

        in_loop(test)

    def test_tasks_that_are_cancelled_at_random_leave_nothing(self, in_loop: _Run) -> None:
        """Wherever they are: before a request, in it, in the body, or while they release."""
        rng = random.Random(7)  # noqa: S311  spreads the moments, keeps no secret

        async def test(channel: NativeChannel) -> None:
            async def work(number: int) -> None:
                async with channel.lock(f"lock {number % 5}", ttl=600, wait=None) as lease:
                    await channel.set(number % 5, number, fence=lease.fence)
                    await asyncio.sleep(rng.random() / 1000)

            tasks = [asyncio.create_task(work(number)) for number in range(_TASKS)]
            while pending := [task for task in tasks if not task.done()]:
                rng.choice(pending).cancel()
                await asyncio.sleep(rng.random() / 200)
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(end) for end in ended} <= {type(None), asyncio.CancelledError}
            assert await channel.locks() == []

        in_loop(test)
