"""Failover: channels reconnect by themselves, and documents and locks are kept."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

import ojobchannels as oc
from ojobchannels.testing.servers import MongoServer, or_skip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from ojobchannels.testing.kit.pytest_fixtures import WaitObserver

    Background = Callable[..., Future[Any]]

PATIENT = 60


class Three:
    """A replica set of three members, of which one may be killed."""

    def __init__(self, members: list[MongoServer]) -> None:
        self.members = {f"127.0.0.1:{member.port}": member for member in members}
        self.url = f"mongodb://{','.join(self.members)}/?replicaSet=three"

    def set_up(self) -> None:
        """Initiate the set; it elects another primary within about a second, not ten."""
        names = list(self.members)
        setup = {
            "_id": "three",
            "members": [{"_id": number, "host": name} for number, name in enumerate(names)],
            "settings": {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200},
        }
        with pymongo.MongoClient[dict[str, Any]](names[0], directConnection=True) as client:
            client.admin.command("replSetInitiate", setup)
            self.members[names[0]].wait_until(lambda: self._is_whole(client), "became no set")

    def primary(self) -> str:
        """Return the address of the primary."""
        with pymongo.MongoClient[dict[str, Any]](self.url) as client:
            return str(client.admin.command("hello")["primary"])

    def kill_primary(self) -> MongoServer:
        """Kill the primary, and return it."""
        primary = self.members[self.primary()]
        primary.kill()
        return primary

    def _is_whole(self, client: pymongo.MongoClient[dict[str, Any]]) -> bool:
        members = client.admin.command("replSetGetStatus")["members"]
        states = sorted(member["stateStr"] for member in members)
        return states == ["PRIMARY", "SECONDARY", "SECONDARY"]


@pytest.fixture
def three() -> Iterator[Three]:
    """A replica set of three that the test may stop."""
    options = ("--replSet", "three", "--oplogSize", "64")
    with or_skip(), ExitStack() as running, ThreadPoolExecutor(3) as pool:
        servers = [MongoServer(options=options) for _ in range(3)]
        three = Three(list(pool.map(running.enter_context, servers)))
        three.set_up()
        yield three


@pytest.fixture(scope="module")
def replica_set() -> Iterator[MongoServer]:
    """A replica set of one, whose primary a test may make step down."""
    with or_skip(), MongoServer(replica_set=True) as server:
        yield server


def step_down(server: MongoServer, seconds: int = 1) -> None:
    """Make the primary step down for some seconds."""
    with pymongo.MongoClient[dict[str, Any]](server.url) as client:
        client.admin.command({"replSetStepDown": seconds, "force": True})


def test_a_primary_that_steps_down_is_waited_for(
    replica_set: MongoServer, in_background: Background
) -> None:
    """Every operation, started before or meanwhile, is done once; leases continue."""
    with oc.open_channel("orders", replica_set.url, timeout=30) as channel:
        channel.set_all({n: n for n in range(50)})
        with channel.lock("nightly", ttl=30, keep_alive=True) as lease:
            stepping = in_background(step_down, replica_set)
            taken = []
            while not stepping.done():
                taken.append(channel.shift())
                channel.set("key", len(taken), fence=lease.fence)
                assert channel.get("key") == len(taken)
            taken += [channel.shift() for _ in range(5)]
            assert channel.add("added", 1)
            assert channel.get_set(1, "added", 2) == 1
            channel.set_all({"a": 1, "b": 2})
            stepping.result()
            lease.check()
            assert channel.try_lock("nightly", ttl=1) is None
        numbers = [value for value in taken if value is not None]
        assert len(numbers) == len(set(map(str, numbers)))


def test_waiters_are_woken_after_a_step_down(
    replica_set: MongoServer, in_background: Background
) -> None:
    """The change stream is opened again."""
    other_url = f"{replica_set.url}&appName=other"
    with (
        oc.open_channel("waiters", replica_set.url, timeout=30) as holder,
        oc.open_channel("waiters", other_url, timeout=30) as waiter,
    ):
        for _ in range(2):
            lease = holder.lock("nightly", ttl=60)
            waiting = in_background(waiter.lock, "nightly", ttl=30, wait=60)
            step_down(replica_set)
            released = time.monotonic()
            lease.release()
            waiting.result(30).release()
            assert time.monotonic() - released < 15


def test_a_batch_is_whole_whatever_happens_to_the_primary(
    replica_set: MongoServer, in_background: Background
) -> None:
    """It is stored whole or not at all, and the caller knows which."""
    with oc.open_channel("batches", replica_set.url, timeout=30) as channel:
        channel.set_all(dict.fromkeys(range(10), -1))
        stepping = in_background(step_down, replica_set)
        turn = last = 0
        while not stepping.done() or turn < last + 2:
            turn += 1
            channel.set_all(dict.fromkeys(range(10), turn))
            assert channel.get_all() == [turn] * 10
            if not stepping.done():
                last = turn
        stepping.result()


def test_members_of_a_replica_set_are_killed_one_after_the_other(
    three: Three, observer: WaitObserver, in_background: Background
) -> None:
    """Another member takes over; without a majority, calls end by their timeout."""
    assert_only_the_primary_is_accepted(three)
    assert_taken_over(three, observer, in_background)
    assert_refused_without_a_majority(three, in_background)


def assert_only_the_primary_is_accepted(three: Three) -> None:
    """Assert that another member is refused at once: a channel there could store nothing."""
    secondary = next(name for name in three.members if name != three.primary())
    with pytest.raises(oc.ChannelUnavailable, match=r"is a replica.*replicaSet="):
        oc.open_channel("orders", f"mongodb://{secondary}/?directConnection=true", timeout=30)


def assert_taken_over(three: Three, observer: WaitObserver, in_background: Background) -> None:
    """Assert that a killed primary costs nothing.

    Entries, marks, leases and waiters are kept; each call is done once, and none is lost.
    """
    with (
        oc.open_channel("orders", three.url, timeout=PATIENT) as channel,
        oc.open_channel("orders", three.url, timeout=PATIENT, extensions=[observer]) as other,
    ):
        channel.set_all({n: n for n in range(200)})
        held = channel.lock("nightly", ttl=PATIENT, keep_alive=True)
        channel.set("guarded", "new", fence=held.fence)
        waiting = in_background(other.lock, "nightly", ttl=30, wait=PATIENT)
        observer.await_waiters()
        killing = in_background(three.kill_primary)
        taken = []
        while not killing.done():
            taken.append(channel.shift())
        taken += [channel.shift() for _ in range(5)]
        assert taken == list(range(len(taken)))
        assert channel.size() == 201 - len(taken)
        held.check()
        held.extend()
        assert other.try_lock("nightly", ttl=30) is None
        with pytest.raises(oc.StaleFence):
            other.set("guarded", "old", fence=held.fence - 1)
        channel.set_all({"a": 1, "b": 2})
        held.release()
        with waiting.result(PATIENT) as later:
            assert later.fence > held.fence
            assert other.get_all()[-2:] == [1, 2]


def assert_refused_without_a_majority(three: Three, in_background: Background) -> None:
    """Assert that of three members one alone does nothing.

    Nothing is granted or written that the next primary lacks; later calls work again.
    """
    with (
        oc.open_channel("minority", three.url, timeout=PATIENT) as patient,
        oc.open_channel("minority", three.url, timeout=1) as channel,
        oc.open_channel("others", three.url, timeout=1) as others,
    ):
        patient.set("key", 2)
        killed = three.kill_primary()
        began = time.monotonic()
        calls = [
            in_background(channel.lock, "nightly", ttl=30),
            in_background(channel.set, "key", 3),
            in_background(others.add, "key", 1),
            in_background(others.pop),
        ]
        for call in calls:
            failed = call.exception(20)
            assert isinstance(failed, oc.ChannelUnavailable | oc.ChannelTimeout | oc.OutcomeUnknown)
            assert failed.__cause__ is not None
        assert time.monotonic() - began < 2 + 8  # a lock is unlocked again
        killed.start()
        assert patient.get("key") in (2, 3)
        patient.lock("nightly", ttl=30, wait=PATIENT).release()
