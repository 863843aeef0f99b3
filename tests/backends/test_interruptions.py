"""Exceptions of signal handlers: wherever they strike, no lock or connection stays in use."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import Storage

    StartWorker = Callable[..., Child]

# Lets a handler raise at random instants of `work`; after each, another thread and another handle
# must find the lock free and be able to write, soon.
STRIKE = """
import faulthandler, random, signal, time, traceback
from concurrent.futures import ThreadPoolExecutor

class Struck(BaseException):
    pass

class StruckToo(Exception):
    pass

armed = False

def strike(*_):
    if armed:  # another thread may have been sent the signal, and pass it on late
        raise random.choice((Struck, StruckToo))

def left_to_the_caller(error):
    # Python itself may raise between the return of `lock` and the first step of `__enter__`, or
    # before the first step of `__exit__`: then the lease is whole, and belongs to its caller.
    frames = []
    at = error.__traceback__
    while at is not None:
        frames.append(at)
        at = at.tb_next
    for at in frames:
        code = at.tb_frame.f_code
        if code.co_qualname in ("Lease.__enter__", "Lease.__exit__"):
            if at.tb_lineno == code.co_firstlineno:
                return at.tb_frame.f_locals["self"]

def work(name, turn):
    with channel.lock(name, ttl=600, wait=0, keep_alive=turn % 2 == 0):
        channel.set("key", turn)
        channel.get("key")

def look(turn, name):
    for handle in (channel, other):
        assert handle.try_lock(name, ttl=600) is not None, (turn, handle.lock_info(name))
        assert handle.force_unlock(name) is not None
    for handle in (channel, other):
        handle.set("seen", turn)
        assert handle.get("seen") == turn

faulthandler.dump_traceback_later(params["turns"] / 6, exit=True)
signal.signal(signal.SIGALRM, strike)
struck, left, where = 0, 0, None
with oc.open_channel(channel_name, channel_config) as other, ThreadPoolExecutor(1) as pool:
    took = []
    for turn in range(20):
        began = time.monotonic()
        work("warm up", turn)
        took.append(time.monotonic() - began)
    longest = 1.5 * min(took)
    for turn in range(params["turns"]):
        name = f"lock {turn % 7}"
        try:
            try:
                armed = True
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, longest))
                work(name, turn)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                armed = False
        except (Struck, StruckToo) as error:
            struck += 1
            lease = left_to_the_caller(error)
            if lease is not None:
                left += 1
                lease.release()
            where = error
        try:
            pool.submit(look, turn, name).result()
        except BaseException:
            traceback.print_exception(where)
            raise
send([struck, left])
"""


@pytest.mark.timeout(180)
def test_an_exception_of_a_signal_handler_leaves_nothing_in_use(
    storage: Storage, start_worker: StartWorker
) -> None:
    """At random instants of lock, set, get and release, hundreds of times."""
    worker = start_worker(STRIKE, storage, turns=600)
    struck, left = worker.receive(within=110)
    assert struck > 50
    assert left < struck / 10
    assert worker.end() == 0


class CallingClock:
    """A clock that calls the channel whose operation reads it, as a signal handler might."""

    epoch = "boot-1/1"

    def __init__(self) -> None:
        self.call: Callable[[], object] | None = None
        self.errors: list[Exception] = []

    def now(self) -> int:
        if self.call is not None:
            call, self.call = self.call, None
            try:
                call()
            except oc.ChannelError as error:
                self.errors.append(error)
        return 5_000_000_000

    def wall(self) -> int:
        return 1_900_000_000_000_000


def test_a_call_in_the_middle_of_another_is_refused_at_once(file_storage: Storage) -> None:
    """A handler that uses the interrupted handle neither hangs nor damages that call."""
    clock = CallingClock()
    channel = file_storage.open(clock=clock)
    lease = channel.lock("nightly", ttl=60)
    clock.call = lambda: channel.lock("nightly", ttl=60)
    channel.lock_info("nightly")
    (refused,) = clock.errors
    assert isinstance(refused, oc.NotSupported)
    assert "signal handler" in str(refused)
    lease.extend()
    lease.release()


@pytest.mark.skipif("coverage" in sys.modules, reason="a signal may leave the tracer's lock held")
def test_an_interrupted_wait_leaves_no_fifo(
    shared_storage: Storage, start_worker: StartWorker
) -> None:
    """Nothing of an interrupted waiter stays in the folder of waiters."""
    channel = shared_storage.open()
    lease = channel.lock("nightly", ttl=60)
    worker = start_worker(
        """
import random, signal

class Struck(BaseException):
    pass

armed = False

def strike(*_):
    if armed:
        raise Struck

signal.signal(signal.SIGALRM, strike)
for turn in range(300):
    try:
        try:
            armed = True
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 1e-3))
            channel.lock("nightly", ttl=60, wait=0.002)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            armed = False
    except (Struck, oc.LockBusy):
        pass
send()
receive()
""",
        shared_storage,
    )
    worker.receive()
    side = shared_storage.path.with_name(f"{shared_storage.path.name}.ojob")
    assert list(side.glob("waiting/*/*")) == []
    lease.release()


class Struck(BaseException):
    pass


def strike_at(line: int, change: Callable[[], object]) -> bool:
    """Raise at the given executed line of the module that keeps documents in memory."""
    left = line

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.endswith("backends/simple/entries.py"):
            return None
        if event == "line":
            left -= 1
            if left < 0:
                sys.settrace(None)
                raise Struck
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        change()
    except Struck:
        return True
    finally:
        sys.settrace(before)
    return False


CHANGES: dict[str, Callable[[oc.Channel], object]] = {
    "set": lambda channel: channel.set("b", "new"),
    "set_all": lambda channel: channel.set_all({"c": "new", "a": "new", "d": "new"}),
    "get_set": lambda channel: channel.get_set(1, "a", "new"),
    "unset_all": lambda channel: channel.unset_all(["a", "c", "none"]),
    "pop": lambda channel: channel.pop(),
    "shift": lambda channel: channel.shift(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_interrupted_change_in_memory_is_complete_or_absent(
    simple_storage: Storage, change: Callable[[oc.Channel], object]
) -> None:
    """At any line: no old value is lost without the new one, no batch is half done."""
    before = {"a": 1, "b": 2, "c": 3}
    with simple_storage.open() as changed:
        changed.set_all(before)
        change(changed)
        after = list(changed.items())
        line, struck = 0, True
        while struck:
            changed.destroy()
            changed.set_all(before)
            struck = strike_at(line, lambda: change(changed))
            assert list(changed.items()) in (list(before.items()), after), line
            line += 1
    assert line > 3


def test_a_second_signal_during_the_clean_up_leaves_nothing_in_use(
    file_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clean-up is repeated, and other handles can write."""
    channel, other = file_storage.open(), file_storage.open()
    table = channel.hook.set.get_hookimpls()[0].plugin._table
    clean_up = table.clean_up
    signals = [KeyboardInterrupt("first"), KeyboardInterrupt("second")]

    def struck() -> None:
        if signals:
            raise signals.pop(0)
        clean_up()

    monkeypatch.setattr(table, "clean_up", struck)
    with pytest.raises(KeyboardInterrupt, match="second"):
        channel.set("key", 1)
    other.set("key", 2)
    assert channel.get("key") == 2
